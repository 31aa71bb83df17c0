import type { ProgressReading, Trouble } from '../../runners/progress.js';

/** A share of its time for which a backend may be idle between two requests that both got nowhere. */
const GAP_SHARE = 0.25;
/** One failure tells of a request, more of them tell of the model. */
const MIN_FAILURES = 2;

/** Milliseconds. */
export interface ProgressLimits {
  /** Within this time, a model that is asked gets something done. */
  readonly progressMs: number;
  /** The same where the backend shows nothing of a request until it is done; the longest that one may take. */
  readonly stallMs: number;
}

/** What the readings of one unit have shown so far; times are monotonic ms. */
export interface ProgressEvidence {
  readonly last: ProgressReading;
  /** Nothing was done since, that is seen. */
  readonly movedMs: number;
  /** Requests are, or were a moment ago, open since, and nothing was done meanwhile. */
  readonly openSinceMs: number | undefined;
  /** None is open since. */
  readonly idleSinceMs: number | undefined;
  /** Since the last request that succeeded. */
  readonly failures:
    { readonly count: number; readonly firstMs: number; readonly lastMs: number } | undefined;
}

/** What is known with one reading more. Pure. */
export function withReading(
  before: ProgressEvidence | undefined,
  reading: ProgressReading,
  limits: ProgressLimits,
  now: number,
): ProgressEvidence {
  if (!before || beganAnew(before.last, reading)) {
    return {
      last: reading,
      movedMs: now,
      failures: undefined,
      ...openSince(undefined, reading, limits, now),
    };
  }
  const hasMoved = reading.done !== before.last.done;
  return {
    last: reading,
    movedMs: hasMoved ? now : before.movedMs,
    ...openSince(hasMoved ? undefined : before, reading, limits, now),
    failures: failuresWith(before, reading, now),
  };
}

/** What is wrong by now; `undefined`: nothing that can be told. Pure. */
export function troubleIn(
  { last, openSinceMs, failures }: ProgressEvidence,
  { progressMs, stallMs }: ProgressLimits,
  now: number,
): Trouble | undefined {
  if (failures && failures.count >= MIN_FAILURES && now - failures.firstMs >= progressMs) {
    const words = `no request has succeeded for ${inSeconds(now - failures.firstMs)}, and ${failures.count} have failed in the backend`;
    return { kind: 'failing', words: withNote(words, last), run: last.run };
  }
  if (last.open > 0 && openSinceMs !== undefined && now - openSinceMs >= stallMs) {
    const words = `nothing was done for ${inSeconds(now - openSinceMs)}, and ${last.open === 1 ? 'a request waits' : `${last.open} requests wait`}`;
    return { kind: 'stalled', words: withNote(words, last), run: last.run };
  }
  return undefined;
}

/** Something was done well between the two. */
export function isBetter(before: ProgressEvidence, { last, failures }: ProgressEvidence): boolean {
  if (beganAnew(before.last, last)) return false;
  return last.succeeded > before.last.succeeded || (last.done !== before.last.done && !failures);
}

/** A counter never falls while its server, or its load, goes on. */
function beganAnew(before: ProgressReading, now: ProgressReading): boolean {
  return (
    now.run !== before.run ||
    now.succeeded < before.succeeded ||
    now.failed < before.failed ||
    (typeof now.done === 'number' && typeof before.done === 'number' && now.done < before.done)
  );
}

/** Clients give up and ask again: a gap between two requests that got nowhere ends nothing. */
function openSince(
  before: ProgressEvidence | undefined,
  { open }: ProgressReading,
  { stallMs }: ProgressLimits,
  now: number,
): Pick<ProgressEvidence, 'openSinceMs' | 'idleSinceMs'> {
  const idleSinceMs = before?.idleSinceMs ?? (open === 0 ? now : undefined);
  const isForgotten = idleSinceMs !== undefined && now - idleSinceMs > stallMs * GAP_SHARE;
  const openSinceMs = isForgotten ? undefined : before?.openSinceMs;
  return open > 0
    ? { openSinceMs: openSinceMs ?? now, idleSinceMs: undefined }
    : { openSinceMs, idleSinceMs };
}

function failuresWith(
  { last, failures }: ProgressEvidence,
  { succeeded, failed }: ProgressReading,
  now: number,
): ProgressEvidence['failures'] {
  if (succeeded > last.succeeded) return undefined;
  const more = failed - last.failed;
  if (more === 0) return failures;
  return { count: (failures?.count ?? 0) + more, firstMs: failures?.firstMs ?? now, lastMs: now };
}

function withNote(words: string, { note }: ProgressReading): string {
  return note === undefined ? words : `${words}; ${note}`;
}

function inSeconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
