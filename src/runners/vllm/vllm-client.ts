import { z } from 'zod';
import { callHttp, UnusableAnswerError } from '../../common/http/http-client.js';
import { ModelLoadError } from '../errors.js';
import type { Workload } from '../runner.js';
import type { SleepLevel } from '../sleep.js';
import type { ProbeResult } from '../placement-server/served-placement.js';
import { type MetricSample, metricSamples } from '../prometheus-text.js';

const OPEN = ['vllm:num_requests_running', 'vllm:num_requests_waiting'];
const FINISHED = ['vllm:request_success_total'];
const SLEEP_STATE = 'vllm:engine_sleep_state';

const loadAnswer = z.object({ server_load: z.number().min(0) });
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
 * The requests that run and wait: those of all engines by the metrics, or those of the HTTP server (`GET /load`), whichever
 * are more. The metrics leave out a request in its first step, which can be a prefill of a minute; the server counts none
 * without load tracking. `null`: neither counts any of this model, or it sleeps, so that what waits is not worked off.
 * @throws a system error, the signal's reason, UnusableAnswerError
 */
export async function vllmWorkload(
  baseUrl: string,
  servedModel: string,
  signal: AbortSignal,
): Promise<Workload | null> {
  const wanted = [...OPEN, ...FINISHED, SLEEP_STATE];
  const [metrics, load] = await Promise.all([
    ownMetrics(baseUrl, servedModel, wanted, signal),
    serverLoad(baseUrl, signal),
  ]);
  const sumOf = (names: readonly string[]): number =>
    metrics.filter(({ name }) => names.includes(name)).reduce((sum, { value }) => sum + value, 0);
  const isCounted = load > 0 || metrics.some(({ name }) => OPEN.includes(name));
  if (!isCounted || typeof levelIn(metrics) === 'number') return null;
  return { open: Math.max(load, sumOf(OPEN)), finished: sumOf(FINISHED) };
}

/** Requests that the HTTP server has in hand; 0 of one that does not track them. @throws the signal's reason */
async function serverLoad(baseUrl: string, signal: AbortSignal): Promise<number> {
  try {
    const { body } = await callHttp({ method: 'GET', url: `${baseUrl}/load`, signal });
    const answer = loadAnswer.safeParse(parseJson(body));
    return answer.success ? answer.data.server_load : 0;
  } catch {
    signal.throwIfAborted();
    return 0; // the metrics say whether it can be asked at all
  }
}

/**
 * At which level it sleeps, by its metrics; `undefined` of an early version, which does not say.
 * @throws a system error, the signal's reason, UnusableAnswerError
 */
export async function vllmSleepLevel(
  baseUrl: string,
  servedModel: string,
  signal: AbortSignal,
): Promise<SleepLevel | 'awake' | undefined> {
  return levelIn(await ownMetrics(baseUrl, servedModel, [SLEEP_STATE], signal));
}

function levelIn(metrics: readonly MetricSample[]): SleepLevel | 'awake' | undefined {
  const states = metrics.filter(({ name }) => name === SLEEP_STATE);
  const isIn = (state: string): boolean =>
    states.some(({ labels, value }) => value > 0 && labels.includes(`sleep_state="${state}"`));
  if (states.length === 0) return undefined;
  if (isIn('discard_all')) return 2;
  return isIn('weights_offloaded') ? 1 : 'awake';
}

async function ownMetrics(
  baseUrl: string,
  servedModel: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<MetricSample[]> {
  const { status, body } = await callHttp({ method: 'GET', url: `${baseUrl}/metrics`, signal });
  if (status !== 200) throw new UnusableAnswerError(`GET /metrics answered ${status}`);
  const own = `model_name="${escaped(servedModel)}"`;
  return metricSamples(body, names).filter(({ labels }) => labels.includes(own));
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
