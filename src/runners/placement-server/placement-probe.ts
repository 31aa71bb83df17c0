import { within } from '../../common/deadline.js';
import { type DomainError, messageOf } from '../../common/errors.js';
import type { PlacementObservation } from '../observation.js';
import { unseenAs } from '../unseen.js';
import type { PlacementBackend, RunningServer } from './placement-backend.js';
import type { PlacementIdentity } from './placement-identity.js';
import type { ProbeResult } from './served-placement.js';
import { StartupWindow } from './startup-window.js';

const PROBE_TIMEOUT_MS = 5000;

/** What an answer, or its want, says of the placement. */
export type Seen = Pick<PlacementObservation, 'phase' | 'reason' | 'sleeping' | 'lastLines'>;

/** Asks the server of one placement how it is, and makes a phase of the answer, or of its want. */
export class PlacementProbe {
  readonly window = new StartupWindow();

  constructor(
    private readonly backend: PlacementBackend,
    private readonly identity: PlacementIdentity,
  ) {}

  /**
   * Within `limitMs`, whether or not the backend heeds the signal.
   * @throws what keeps it from answering
   */
  async ask(
    { info, placement }: RunningServer,
    signal: AbortSignal,
    limitMs = PROBE_TIMEOUT_MS,
  ): Promise<ProbeResult> {
    const result = await within({ ms: limitMs, signal }, (limit) => this.backend.probe(placement, limit));
    if (result.state === 'ready') this.window.wasReady(info);
    return result;
  }

  /** Who was never ready and has time left is coming up, as long as it does not answer. */
  async look(running: RunningServer, signal: AbortSignal, limitMs = PROBE_TIMEOUT_MS): Promise<Seen> {
    try {
      return seenAs(await this.ask(running, signal, limitMs));
    } catch (error) {
      const isOver = this.window.isOver(running.info, this.identity.startTimeoutMs);
      return { phase: isOver ? unseenAs(error) : 'starting', reason: messageOf(error) };
    }
  }

  /** What it finds final, if it says so. @throws the signal's reason */
  async finalError(running: RunningServer, signal: AbortSignal): Promise<DomainError | undefined> {
    try {
      const result = await this.ask(running, signal);
      return result.state === 'failed' ? result.error : undefined;
    } catch {
      signal.throwIfAborted();
      return undefined; // it is silent: not a matter of the start
    }
  }
}

export function seenAs(result: ProbeResult): Seen {
  switch (result.state) {
    case 'ready':
      return { phase: 'ready', ...(result.sleeping !== undefined && { sleeping: result.sleeping }) };
    case 'starting':
      return { phase: 'starting', ...(result.reason !== undefined && { reason: result.reason }) };
    case 'failed':
      return { phase: 'absent', reason: result.error.message };
    default:
      return result satisfies never;
  }
}
