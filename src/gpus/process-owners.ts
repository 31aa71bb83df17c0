import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { containerIdOf } from '../common/container-id.js';
import { deadline, orAborted } from '../common/deadline.js';
import { messageOf } from '../common/errors.js';
import { LOGGER, type Logger } from '../common/logging/logger.js';
import { processIdentity, type ProcessIdentity } from '../common/process-identity.js';
import { userOf } from '../common/process-user.js';
import type { Launcher } from '../launchers/launcher.js';
import { LauncherRegistry } from '../launchers/launcher-registry.js';

/** Time, ms, the Engine has to say whose a process is: a reading of the GPUs does not wait longer for it. */
const ASK_TIMEOUT_MS = 500;
/** After an answer that failed to come, ms until anybody is asked again. */
const SILENCE_MS = 5000;
/** Processes whose owner is kept. */
const MAX_KNOWN = 1024;
const SHORT_ID_LENGTH = 12;

/** Whose a process is. What nobody can tell just now is null. */
export interface ProcessOwner {
  /** The server of this service that it belongs to. */
  readonly serverName: string | null;
  /** Name of its Docker container, or the short id while nobody can tell the name. */
  readonly container: string | null;
  /** Name of its effective user. */
  readonly user: string | null;
}

const NOBODY: ProcessOwner = { serverName: null, container: null, user: null };

/**
 * Tells whose a process is: by its cgroup and the Engine's labels, and by the mark of its launch. That does not change
 * while a process lives, so each is asked about once; an Engine that does not answer costs a caller half a second, once in
 * a while.
 */
@Injectable()
export class ProcessOwners {
  private readonly known = new Map<string, ProcessOwner>();
  /** Monotonic ms: nobody is asked earlier. */
  private askNotBefore = 0;

  constructor(
    private readonly launchers: LauncherRegistry,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async of(pid: number): Promise<ProcessOwner> {
    const identity = await processIdentity(pid);
    if (!identity) return NOBODY;
    const key = `${identity.pid} ${identity.startTime}`;
    const known = this.known.get(key);
    if (known) return known;
    const { owner, isCertain } = await this.find(identity);
    if (isCertain) this.remember(key, owner);
    return owner;
  }

  private async find({ pid }: ProcessIdentity): Promise<{ owner: ProcessOwner; isCertain: boolean }> {
    const [id, user] = await Promise.all([containerIdOf(pid), userOf(pid)]);
    const silent = { owner: { serverName: null, container: shortOf(id), user }, isCertain: false };
    if (this.clock.monotonicMs() < this.askNotBefore) return silent;
    const limit = deadline(ASK_TIMEOUT_MS);
    try {
      const [serverName, container] = await orAborted(
        Promise.all([this.serverOf(pid, limit), id === undefined ? null : this.containerName(id, limit)]),
        limit,
      );
      return { owner: { serverName, container, user }, isCertain: true };
    } catch (error) {
      this.askNotBefore = this.clock.monotonicMs() + SILENCE_MS;
      this.logger.debug({ err: error }, `Whose process ${pid} is cannot be told: ${messageOf(error)}`);
      return silent;
    }
  }

  private async serverOf(pid: number, signal: AbortSignal): Promise<string | null> {
    const ask = (launcher: Launcher): Promise<string | undefined> => launcher.serverOf(pid, signal);
    const names = await Promise.all(this.launchers.inUse().map(ask));
    return names.find((name) => name !== undefined) ?? null;
  }

  private async containerName(id: string, signal: AbortSignal): Promise<string | null> {
    return (await this.launchers.containerName(id, signal)) ?? shortOf(id);
  }

  private remember(key: string, owner: ProcessOwner): void {
    const oldest = this.known.size >= MAX_KNOWN ? this.known.keys().next().value : undefined;
    if (oldest !== undefined) this.known.delete(oldest);
    this.known.set(key, owner);
  }
}

function shortOf(id: string | undefined): string | null {
  return id?.slice(0, SHORT_ID_LENGTH) ?? null;
}
