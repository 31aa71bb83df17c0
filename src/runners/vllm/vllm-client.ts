import { z } from 'zod';
import { callHttp, UnusableAnswerError } from '../../common/http/http-client.js';
import { ModelLoadError, type Workload } from '../runner.js';
import type { ProbeResult } from '../placement-server/served-placement.js';
import { metricSamples } from '../prometheus-text.js';

const OPEN = ['vllm:num_requests_running', 'vllm:num_requests_waiting'];
const FINISHED = ['vllm:request_success_total'];

const modelList = z.object({ data: z.array(z.object({ id: z.string() })) });

/**
 * Whether the server at `baseUrl` serves `servedModel`. `/health` alone does not tell: it has been seen 200 with a dead
 * engine.
 * @throws a system error or the signal's reason; UnusableAnswerError for what is no list of models; an error when it
 * answers that it is not well
 */
export async function vllmReadiness(
  baseUrl: string,
  servedModel: string,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const health = await callHttp({ method: 'GET', url: `${baseUrl}/health`, signal });
  if (health.status !== 200) throw new Error(`GET /health answered ${health.status}`);
  const { status, body } = await callHttp({ method: 'GET', url: `${baseUrl}/v1/models`, signal });
  if (status === 401 || status === 403) {
    const error = new ModelLoadError(
      `vLLM answered ${status} to GET /v1/models: it wants an API key, and this service has none to give. Take VLLM_API_KEY out of its environment, and put a gateway in front of it instead.`,
    );
    return { state: 'failed', error };
  }
  if (status !== 200) throw new Error(`GET /v1/models answered ${status}`);
  const models = modelList.safeParse(parseJson(body));
  if (!models.success) throw new UnusableAnswerError('GET /v1/models answered no list of models');
  if (models.data.data.some(({ id }) => id === servedModel)) return { state: 'ready' };
  const names = models.data.data.map(({ id }) => id.slice(0, 200)).join(', ');
  const error = new ModelLoadError(
    `vLLM serves ${names || 'nothing'}, not ${servedModel} (GET /v1/models): stop the model and start it again.`,
  );
  return { state: 'failed', error };
}

/**
 * The requests that run and wait, of all engines. `null`: it counts none of this model.
 * @throws a system error, the signal's reason, UnusableAnswerError
 */
export async function vllmWorkload(
  baseUrl: string,
  servedModel: string,
  signal: AbortSignal,
): Promise<Workload | null> {
  const { status, body } = await callHttp({ method: 'GET', url: `${baseUrl}/metrics`, signal });
  if (status !== 200) throw new UnusableAnswerError(`GET /metrics answered ${status}`);
  const own = `model_name="${escaped(servedModel)}"`;
  const samples = metricSamples(body, [...OPEN, ...FINISHED]).filter(({ labels }) => labels.includes(own));
  const sumOf = (names: readonly string[]): number =>
    samples.filter(({ name }) => names.includes(name)).reduce((sum, { value }) => sum + value, 0);
  if (!samples.some(({ name }) => OPEN.includes(name))) return null;
  return { open: sumOf(OPEN), finished: sumOf(FINISHED) };
}

/** As a value of a label is written. */
function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
