import { callHttp } from '../../common/http/http-client.js';
import type { Workload } from '../runner.js';
import { TritonProtocolError } from './triton-client.js';

const PENDING = 'nv_inference_pending_request_count';
const DONE = ['nv_inference_request_success', 'nv_inference_request_failure'];

/** `name{label="value",…} 12`; a value may have an exponent, and a timestamp may follow. */
const SAMPLE = /^([a-z_]+)\{([^}]*)\} +([0-9.]+(?:e\+?[0-9]+)?)(?: +[0-9]+)?$/;

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
  let open: number | undefined;
  let finished = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith('nv_inference_')) continue;
    const [, name = '', labels = '', value] = SAMPLE.exec(line) ?? [];
    if (!labels.split(',').includes(own) || !Number.isFinite(Number(value))) continue;
    if (name === PENDING) open = (open ?? 0) + Number(value);
    else if (DONE.includes(name)) finished += Number(value);
  }
  return open === undefined ? null : { open, finished };
}
