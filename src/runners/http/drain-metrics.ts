import { UnusableAnswerError } from '../../common/http/http-client.js';
import { nearest } from '../../common/nearest.js';
import type { Workload } from '../observation.js';
import type { ProgressReading } from '../progress.js';
import { absentMetrics, metricNames, metricSum } from '../prometheus-text.js';
import type { HttpModel } from './http-section.js';

export type DrainMetrics = NonNullable<HttpModel['drain']>;

/**
 * What the metrics of a server say of its requests. A name that it neither shows nor declares leaves requests out: what is
 * counted is waited for, and `uncounted` says which name that is.
 * @throws UnusableAnswerError where none of `metrics` is there
 */
export function workloadIn(text: string, drain: DrainMetrics, question: string): Workload {
  const { metrics, finished_metrics: finished = [] } = drain;
  const absent = absentMetrics(text, [...metrics, ...finished]);
  const uncounted = absent.length > 0 ? `${question} has no ${inWords(absent, text)}` : undefined;
  if (uncounted !== undefined && metrics.every((name) => absent.includes(name)))
    throw new UnusableAnswerError(uncounted);
  return {
    open: metricSum(text, metrics) ?? 0,
    finished: metricSum(text, finished) ?? 0,
    ...(uncounted !== undefined && { uncounted }),
  };
}

/** The same of what is done; `null` where none of the names of either is there: nobody can tell whether it gets on. */
export function progressIn(
  text: string,
  { metrics, finished_metrics: finished = [] }: DrainMetrics,
): ProgressReading | null {
  const isThere = (names: readonly string[]): boolean => absentMetrics(text, names).length < names.length;
  if (!isThere(metrics) || !isThere(finished)) return null;
  const done = metricSum(text, finished) ?? 0;
  return { open: metricSum(text, metrics) ?? 0, done, succeeded: done, failed: 0 };
}

function inWords(absent: readonly string[], text: string): string {
  const known = metricNames(text);
  return absent
    .map((name) => {
      const near = nearest(name, known);
      return near === undefined ? name : `${name} (is ${near} meant?)`;
    })
    .join(', ');
}
