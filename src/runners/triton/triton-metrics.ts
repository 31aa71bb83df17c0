import { orAborted, within } from '../../common/deadline.js';
import { callHttp } from '../../common/http/http-client.js';
import { type MetricSample, metricSamples } from '../prometheus-text.js';
import type { ProgressReading } from '../progress.js';
import type { Workload } from '../observation.js';
import { TritonProtocolError } from './triton-client.js';

const PENDING = 'nv_inference_pending_request_count';
const DONE = ['nv_inference_request_success', 'nv_inference_request_failure'];

/** Models of one server look at about the same time: one reading is enough for all, ms. */
const SHARED_FOR_MS = 200;
const SHARED_TIMEOUT_MS = 5000;
const SUCCEEDED = 'nv_inference_request_success';
const FAILED = 'nv_inference_request_failure';
/** Failures that Triton did not come to work for: its queue was full or too slow, or the client has given up. */
const TURNED_AWAY = ['reason="REJECTED"', 'reason="CANCELED"'];
/** Grows with what a model does, also where it answers one request many times. */
const WORKED = 'nv_inference_exec_count';

/** Triton's metrics port. */
export class TritonMetrics {
  private shared: { readonly text: Promise<string>; readonly untilMs: number } | undefined;

  constructor(readonly baseUrl: string) {}

  /**
   * What Triton counts of a model's requests, all versions, by a reading that the models of one server share; `null`: nothing.
   * @throws TritonProtocolError, the signal's reason, a system error
   */
  async progress(model: string, signal: AbortSignal): Promise<ProgressReading | null> {
    const now = performance.now();
    if (!this.shared || now >= this.shared.untilMs) {
      const text = within({ ms: SHARED_TIMEOUT_MS }, (limit) => this.text(limit));
      text.catch(() => undefined); // whoever waits for it hears of it
      this.shared = { text, untilMs: now + SHARED_FOR_MS };
    }
    return progressIn(await orAborted(this.shared.text, signal), model);
  }

  /**
   * What Triton counts of a model's requests, all versions: those that wait for an instance, and those that are done.
   * What an instance is executing is in no metric (tried on Triton's own binary). `null`: nothing about the model.
   * @throws TritonProtocolError, the signal's reason, a system error
   */
  async workload(model: string, signal: AbortSignal): Promise<Workload | null> {
    return workloadIn(await this.text(signal), model);
  }

  private async text(signal: AbortSignal): Promise<string> {
    const { status, body } = await callHttp({ method: 'GET', url: `${this.baseUrl}/metrics`, signal });
    if (status !== 200) throw new TritonProtocolError(`the metrics answered ${status}`);
    return body;
  }
}

/** The same of what was done and what was not. */
export function progressIn(text: string, model: string): ProgressReading | null {
  const samples = samplesOf(text, model, [PENDING, SUCCEEDED, FAILED, WORKED]);
  const sumOf = (name: string, counts: (labels: string) => boolean = () => true): number =>
    samples
      .filter((each) => each.name === name && counts(each.labels))
      .reduce((sum, { value }) => sum + value, 0);
  if (!samples.some(({ name }) => name === SUCCEEDED)) return null;
  const succeeded = sumOf(SUCCEEDED);
  const failed = sumOf(FAILED, (labels) => !labels.split(',').some((label) => TURNED_AWAY.includes(label)));
  return { open: sumOf(PENDING), done: succeeded + failed + sumOf(WORKED), succeeded, failed };
}

/** The workload of `model` in a Prometheus text; `null` where it is not counted. */
export function workloadIn(text: string, model: string): Workload | null {
  const samples = samplesOf(text, model, [PENDING, ...DONE]);
  const sumOf = (names: readonly string[]): number =>
    samples.filter(({ name }) => names.includes(name)).reduce((sum, { value }) => sum + value, 0);
  const isCounted = samples.some(({ name }) => name === PENDING);
  return isCounted ? { open: sumOf([PENDING]), finished: sumOf(DONE) } : null;
}

function samplesOf(text: string, model: string, names: readonly string[]): MetricSample[] {
  const own = `model="${model}"`;
  return metricSamples(text, names).filter(({ labels }) => labels.split(',').includes(own));
}

/** Why nothing says how many requests wait: flags of `tritonserver` turn its metrics off; the last word counts. */
export function whyUncounted(args: readonly string[]): string | undefined {
  const words = args.join(' ').matchAll(/(?:^| )--allow-metrics(?:[= ](\S+))?/g);
  if (!/^(false|off|0)$/i.test([...words].at(-1)?.[1] ?? '')) return undefined;
  return "Triton's metrics, which say how many requests wait, are turned off: take --allow-metrics out of runners.triton.extra_args.";
}
