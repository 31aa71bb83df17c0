import { choiceOf } from '../../bench/arguments.js';

const KNOWN = ['starts', 'storm', 'boot'] as const;

describe('arguments of the benchmark', () => {
  it('runs every suite in full when nothing is said', () => {
    expect(choiceOf([], KNOWN)).toEqual({ smoke: false, suites: KNOWN });
  });

  it('runs the named suites, in the order of the report', () => {
    expect(choiceOf(['boot', '--smoke', 'starts'], KNOWN)).toEqual({
      smoke: true,
      suites: ['starts', 'boot'],
    });
  });

  it.each(['strom', '--smok', '--smoke=yes'])('names the suites when it refuses %s', (argument) => {
    expect(() => choiceOf(['boot', argument], KNOWN)).toThrow(/suites: starts, storm, boot/);
  });
});
