import { absentMetrics, metricSum } from '../../src/runners/prometheus-text.js';

const TEXT = `# HELP requests_open Requests in hand.
# TYPE requests_open gauge
requests_open{worker="0"} 2
requests_open{worker="1"} 1
# TYPE requests_deferred gauge
# TYPE latency_seconds histogram
# TYPE queue gauge
# TYPE answers counter
odd NaN
`;

describe('the names of metrics that a server does not have', () => {
  it.each([
    ['that has samples', 'requests_open'],
    ['that is only declared, and has no sample before the first request', 'requests_deferred'],
    ['of a histogram that is only declared', 'latency_seconds_count'],
    ['of a counter that is declared by its family', 'answers_total'],
  ])('has none %s', (_what, name) => {
    expect(absentMetrics(TEXT, [name])).toEqual([]);
  });

  it.each([
    ['mistyped', 'requests_opn'],
    ['that another begins with', 'requests'],
    ['of a gauge, which has no count', 'queue_count'],
    ['without a number', 'odd'],
  ])('has one %s', (_what, name) => {
    expect(absentMetrics(TEXT, ['requests_open', name])).toEqual([name]);
  });

  it('sums all samples of those that are there', () => {
    expect(metricSum(TEXT, ['requests_open', 'nope'])).toBe(3);
    expect(metricSum(TEXT, ['nope'])).toBeUndefined();
  });
});
