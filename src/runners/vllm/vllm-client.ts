import * as z from 'zod';
import { callHttp, UnusableAnswerError } from '../../common/http/http-client.js';
import { ModelLoadError } from '../errors.js';
import type { CanaryAnswer, ProgressReading } from '../progress.js';
import type { Workload } from '../observation.js';
import type { SleepLevel } from '../sleep.js';
import type { ProbeResult } from '../placement-server/served-placement.js';
import { type MetricSample, metricSamples } from '../prometheus-text.js';

const OPEN = ['vllm:num_requests_running', 'vllm:num_requests_waiting'];
const FINISHED = ['vllm:request_success_total'];
/** Grow with every step of the engine that gave something. */
const TOKENS = ['vllm:prompt_tokens_total', 'vllm:generation_tokens_total'];
/** By status, of all paths; those that ask for a model's work are posted. */
const ANSWERS = 'http_requests_total';
const SLEEP_STATE = 'vllm:engine_sleep_state';

const loadAnswer = z.object({ server_load: z.number().min(0) });
const modelList = z.object({ data: z.array(z.object({ id: z.string() })) });

/**
 * Whether the server at `baseUrl` serves `servedModel`. `/health` alone does not tell: it has been seen 200 with a dead
 * engine. Of a server whose model has no settings any more, it is all that can be asked (`servedModel` is `undefined`).
 * @throws a system error or the signal's reason; UnusableAnswerError for what is no list of models; an error when it
 * answers that it is not well
 */
export async function vllmReadiness(
  baseUrl: string,
  servedModel: string | undefined,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const health = await callHttp({ method: 'GET', url: `${baseUrl}/health`, signal });
  if (health.status !== 200) throw new Error(`GET /health answered ${health.status}`);
  if (servedModel === undefined) return { state: 'ready' };
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
 * The requests that run and wait, the tokens of all engines, and the answers of the HTTP server. `null`: it counts none.
 * @throws a system error, the signal's reason, UnusableAnswerError
 */
export async function vllmProgress(
  baseUrl: string,
  servedModel: string,
  signal: AbortSignal,
): Promise<ProgressReading | null> {
  const text = await metricsText(baseUrl, signal);
  const own = ownSamples(text, servedModel, [...OPEN, ...FINISHED, ...TOKENS]);
  if (!own.some(({ name }) => OPEN.includes(name))) return null;
  const answers = metricSamples(text, [ANSWERS]).filter(({ labels }) => labels.includes('method="POST"'));
  const answered = (status: string): number => sum(answers.filter(({ labels }) => labels.includes(status)));
  const done = sum(own.filter(({ name }) => !OPEN.includes(name)));
  const failed = answered('status="5xx"');
  return {
    open: sum(own.filter(({ name }) => OPEN.includes(name))),
    done: done + failed,
    succeeded: sum(own.filter(({ name }) => FINISHED.includes(name))),
    failed,
  };
}

/**
 * Asks for one token. An answer without work (a model that completes no text) says nothing.
 * @throws a system error, the signal's reason
 */
export async function vllmCanary(
  baseUrl: string,
  servedModel: string,
  signal: AbortSignal,
): Promise<CanaryAnswer> {
  const body = { model: servedModel, prompt: 'a', max_tokens: 1 };
  const { status } = await callHttp({ method: 'POST', url: `${baseUrl}/v1/completions`, body, signal });
  if (status === 200) return 'succeeded';
  return status >= 500 && status !== 501 ? 'failed' : 'unclear';
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
  return ownSamples(await metricsText(baseUrl, signal), servedModel, names);
}

async function metricsText(baseUrl: string, signal: AbortSignal): Promise<string> {
  const { status, body } = await callHttp({ method: 'GET', url: `${baseUrl}/metrics`, signal });
  if (status !== 200) throw new UnusableAnswerError(`GET /metrics answered ${status}`);
  return body;
}

function ownSamples(text: string, servedModel: string, names: readonly string[]): MetricSample[] {
  const own = `model_name="${escaped(servedModel)}"`;
  return metricSamples(text, names).filter(({ labels }) => labels.includes(own));
}

function sum(samples: readonly MetricSample[]): number {
  return samples.reduce((total, { value }) => total + value, 0);
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
