import { pollUntil } from '../common/deadline.js';

/** Processes that are to end. `Left` tells which of them are alive. */
export interface EndTarget<Left> {
  /** The living ones; `undefined` when there is none. */
  remains(): Promise<Left | undefined>;
  /** Signals `left`. Called at the beginning of a step, and again after each look that still finds some alive. */
  signal(signal: NodeJS.Signals, left: Left): void | Promise<void>;
  /**
   * A look that costs nothing. True: some of `left` may be alive, so that `remains`, which costs more, can wait a little.
   * Left out: `remains` costs nothing.
   */
  mayRemain?(left: Left): boolean;
}

export interface EndOptions {
  readonly politeSignal: 'SIGTERM' | 'SIGINT';
  /** From the polite signal to SIGKILL, ms; 0 sends SIGKILL at once. */
  readonly graceMs: number;
  /** From SIGKILL to giving up, ms: a process inside the kernel (a GPU driver, a dead disk) does not end before it returns. */
  readonly killTimeoutMs: number;
  readonly signal: AbortSignal;
}

const LOOK_INTERVAL_MS = 20;
/** `remains` is asked ever more rarely, as long as `mayRemain` says so. */
const FIRST_REMAINS_MS = 40;
const LONGEST_REMAINS_INTERVAL_MS = 320;

/**
 * Ends processes: the polite signal, the grace, SIGKILL, the time until giving up. Resolves as soon as none is alive, with
 * `undefined`; else with those that have outlived SIGKILL.
 * @throws the signal's reason when it aborts; what the target throws
 */
export async function endProcesses<Left>(
  target: EndTarget<Left>,
  { politeSignal, graceMs, killTimeoutMs, signal }: EndOptions,
): Promise<Left | undefined> {
  signal.throwIfAborted();
  let left = await target.remains();
  if (left !== undefined && graceMs > 0) left = await step(target, left, politeSignal, graceMs, signal);
  if (left !== undefined) left = await step(target, left, 'SIGKILL', killTimeoutMs, signal);
  return left;
}

/** Signals, and waits until none is alive or `timeoutMs` have passed; returns the living. */
async function step<Left>(
  target: EndTarget<Left>,
  first: Left,
  signal: NodeJS.Signals,
  timeoutMs: number,
  abort: AbortSignal,
): Promise<Left | undefined> {
  const end = performance.now() + timeoutMs;
  let interval = FIRST_REMAINS_MS;
  let notBefore = performance.now() + interval;
  let left = first;
  await target.signal(signal, left);
  const look = async (): Promise<{ readonly left: Left | undefined } | undefined> => {
    const now = performance.now();
    if (now < end && now < notBefore && target.mayRemain?.(left)) return undefined;
    const remains = await target.remains();
    if (remains === undefined || now >= end) return { left: remains };
    left = remains;
    await target.signal(signal, left);
    interval = Math.min(interval * 2, LONGEST_REMAINS_INTERVAL_MS);
    notBefore = performance.now() + interval;
    return undefined;
  };
  return (await pollUntil(look, { intervalMs: LOOK_INTERVAL_MS, signal: abort })).left;
}
