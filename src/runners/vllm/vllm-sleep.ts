import * as z from 'zod';
import { pollUntil, within } from '../../common/deadline.js';
import { DomainError, messageOf } from '../../common/errors.js';
import { callHttp } from '../../common/http/http-client.js';
import { type SleepContext, SleepFailedError, type SleepLevel, SleepUnavailableError } from '../sleep.js';
import { vllmSleepLevel, vllmWorkload } from './vllm-client.js';

/**
 * Time, ms, of the engine to say whether it sleeps: it answers between two steps, and not at all while it loads weights.
 * That it is late says nothing of how well it is.
 */
const ANSWER_MS = 300;
/** The same where somebody waits for it, and not for a probe. */
const PATIENT_ANSWER_MS = 10_000;
const IDLE_POLL_MS = 200;
const MAX_WORDS = 300;

const sleepAnswer = z.object({ is_sleeping: z.boolean() });

/** A server that is to fall asleep or wake up, in words and for calls. */
export interface VllmServer {
  readonly modelName: string;
  readonly servedModel: string;
  readonly baseUrl: string;
}

/** Whether it sleeps, once `first` is there and soon after; `undefined` where it does not say. Never throws. */
export async function sleepingSoonAfter<T>(
  first: Promise<T>,
  baseUrl: string,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  const answer = isSleeping(baseUrl, signal).catch(() => undefined);
  await first.catch(() => undefined);
  return within({ ms: ANSWER_MS, signal }, () => answer).catch(() => undefined);
}

/**
 * Falls asleep when its requests are worked off: earlier versions of vLLM crash when it comes between. Resolves when vLLM
 * says that it sleeps.
 * @throws SleepUnavailableError, SleepFailedError, the signal's reason
 */
export async function fallAsleep(
  server: VllmServer,
  level: SleepLevel,
  context: SleepContext,
): Promise<void> {
  const { signal } = context;
  await said(server, 'fall asleep', signal, async () => {
    const { baseUrl, servedModel } = server;
    const now = await vllmSleepLevel(baseUrl, servedModel, signal);
    const sleeps = await askedSleeping(server, signal);
    // On its way, it says that it sleeps, too; its metrics tell when the memory has gone.
    if (sleeps && now !== 'awake') return;
    if (level === 2 && now === undefined) {
      throw new SleepUnavailableError(
        `${server.modelName} cannot sleep at level 2: this version of vLLM does not say at which level it sleeps, and would wake without its weights. Use level 1, or a later version.`,
      );
    }
    if (!sleeps) await untilIdle(server, context);
    context.onProgress('falling asleep');
    await post(baseUrl, `/sleep?level=${level}&mode=wait`, signal);
    if (!(await askedSleeping(server, signal))) throw new Error('it says that it is awake');
  });
}

/**
 * Wakes up. What slept at level 2 has no weights: they are read anew before a request is let in, and nothing that was
 * cached counts. Resolves when vLLM says that it is awake; once more completes what was broken off.
 * @throws SleepUnavailableError, SleepFailedError, the signal's reason
 */
export async function wakeUp(server: VllmServer, { signal, onProgress }: SleepContext): Promise<void> {
  await said(server, 'wake up', signal, async () => {
    const { baseUrl, servedModel } = server;
    if (!(await askedSleeping(server, signal))) return;
    onProgress('waking up');
    const level = await vllmSleepLevel(baseUrl, servedModel, signal);
    // Earlier versions count one as awake whose wake was broken off, with or without its weights.
    if (level === 2 || level === 'awake') {
      await post(baseUrl, '/wake_up?tags=weights', signal);
      onProgress('waking up: reading the weights');
      await post(baseUrl, '/collective_rpc', signal, { method: 'reload_weights' });
      await post(baseUrl, '/reset_prefix_cache', signal);
      await post(baseUrl, '/wake_up?tags=kv_cache', signal);
    } else await post(baseUrl, '/wake_up', signal);
    if (await askedSleeping(server, signal)) throw new Error('it says that it sleeps');
  });
}

/** @throws the signal's reason */
async function untilIdle({ baseUrl, servedModel }: VllmServer, context: SleepContext): Promise<void> {
  const { signal, onProgress } = context;
  await pollUntil(
    async () => {
      const open = (await vllmWorkload(baseUrl, servedModel, signal))?.open ?? 0;
      if (open === 0) return true;
      onProgress(`falls asleep when its requests are worked off: ${open} counted`);
      return undefined;
    },
    { intervalMs: IDLE_POLL_MS, signal },
  );
}

/** @throws SleepUnavailableError where its server was launched without */
async function askedSleeping({ modelName, baseUrl }: VllmServer, signal: AbortSignal): Promise<boolean> {
  const sleeping = await within({ ms: PATIENT_ANSWER_MS, signal }, (limit) => isSleeping(baseUrl, limit));
  if (sleeping !== undefined) return sleeping;
  throw new SleepUnavailableError(
    `The server of ${modelName} was launched without sleep mode: set sleep_mode (runners.vllm.models.${modelName}), stop the model and start it again.`,
  );
}

/** `undefined`: it has no sleep mode. @throws a system error, the signal's reason, an error for what makes no sense */
export async function isSleeping(baseUrl: string, signal: AbortSignal): Promise<boolean | undefined> {
  const { status, body } = await callHttp({ method: 'GET', url: `${baseUrl}/is_sleeping`, signal });
  if (status === 404) return undefined;
  if (status !== 200) throw new Error(`GET /is_sleeping answered ${status}`);
  return sleepAnswer.parse(JSON.parse(body)).is_sleeping;
}

async function post(baseUrl: string, path: string, signal: AbortSignal, body?: unknown): Promise<void> {
  const answer = await callHttp({
    method: 'POST',
    url: `${baseUrl}${path}`,
    signal,
    ...(body !== undefined && { body }),
  });
  if (answer.status === 200) return;
  throw new Error(`POST ${path} answered ${answer.status}: ${answer.body.slice(0, MAX_WORDS)}`);
}

/** Whatever keeps vLLM from it, in words. */
async function said(
  { modelName, baseUrl }: VllmServer,
  what: string,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DomainError) throw error;
    throw new SleepFailedError(
      `${modelName} did not ${what}: ${messageOf(error)}. The log of its server has the cause; a stop and a start bring it back.`,
      { baseUrl },
      { cause: error },
    );
  }
}
