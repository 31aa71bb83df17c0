import { callHttp } from '../../common/http/http-client.js';
import { metricSamples } from '../prometheus-text.js';
import type { Workload } from '../runner.js';
import { TritonProtocolError } from './triton-client.js';

const PENDING = 'nv_inference_pending_request_count';
const DONE = ['nv_inference_request_success', 'nv_inference_request_failure'];

/** Triton's metrics port. */
export class TritonMetrics {
  constructor(readonly baseUrl: string) {}

  /**
   * What Triton counts of a model's requests, all versions: those that wait for an instance, and those that are done.
   * What an instance is executing is in no metric (tried on Triton's own binary). `null`: nothing about the model.
   * @throws TritonProtocolError, the signal's reason, a system error
   */
  async workload(model: string, signal: AbortSignal): Promise<Workload | null> {
    const { status, body } = await callHttp({ method: 'GET', url: `${this.baseUrl}/metrics`, signal });
    if (status !== 200) throw new TritonProtocolError(`the metrics answered ${status}`);
    return workloadIn(body, model);
  }
}

/** The workload of `model` in a Prometheus text; `null` where it is not counted. */
export function workloadIn(text: string, model: string): Workload | null {
  const own = `model="${model}"`;
  const samples = metricSamples(text, [PENDING, ...DONE]).filter(({ labels }) =>
    labels.split(',').includes(own),
  );
  const sumOf = (names: readonly string[]): number =>
    samples.filter(({ name }) => names.includes(name)).reduce((sum, { value }) => sum + value, 0);
  const isCounted = samples.some(({ name }) => name === PENDING);
  return isCounted ? { open: sumOf([PENDING]), finished: sumOf(DONE) } : null;
}

/** Whether flags of `tritonserver` turn its metrics off: the last word counts. */
export function turnsMetricsOff(args: readonly string[]): boolean {
  const words = args.join(' ').matchAll(/(?:^| )--allow-metrics(?:[= ](\S+))?/g);
  return /^(false|off|0)$/i.test([...words].at(-1)?.[1] ?? '');
}
