import { faultsOf, type Figure } from '../../bench/figures.js';

const time: Figure = { name: 'a start', value: 12, unit: 'ms', target: '≤ 10' };
const wrong: Figure = { name: 'not answered', value: 0, unit: 'count', mustBe: 0 };

describe('verdict on a suite', () => {
  it('is good whatever a time is', () => {
    expect(faultsOf('starts', [time, wrong])).toEqual([]);
  });

  it('is bad when a count is wrong', () => {
    expect(faultsOf('starts', [time, { ...wrong, value: 1 }])).toEqual([
      'starts: "not answered" is 1, and must be 0',
    ]);
  });

  it('is bad when a figure has no value', () => {
    expect(faultsOf('starts', [{ ...time, value: Number.NaN }, wrong])).toEqual([
      'starts: "a start" has no value',
    ]);
  });

  it('is bad without figures', () => {
    expect(faultsOf('starts', [])).toEqual(['starts: no figures']);
  });
});
