import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { containerIdOf } from '../host/container-id.js';
import { within } from '../common/deadline.js';
import { LOGGER, type Logger } from '../common/logging/logger.js';
import { processIdentity, type ProcessIdentity } from '../host/process-identity.js';
import { userOf } from '../host/process-user.js';
import type { Launcher } from '../launchers/launcher.js';
import { LauncherRegistry } from '../launchers/launcher-registry.js';
import { BriefQuestion } from './brief-question.js';

/** Time, ms, that those who know servers have to say whose a process is that is to be ended. */
const DECIDE_TIMEOUT_MS = 5000;
/** Processes whose owner is kept. */
const MAX_KNOWN = 1024;
const SHORT_ID_LENGTH = 12;

/** Whose a process is. */
export interface ProcessOwner {
  /** The server of this service that it belongs to; `null`: to none; `undefined`: nobody can tell just now. */
  readonly serverName: string | null | undefined;
  /** Name of its Docker container, or the short id while nobody can tell the name. */
  readonly container: string | null;
  /** Name of its effective user; `null` while nobody can tell. */
  readonly user: string | null;
}

/** An owner of whom it is certain which server it is, if any. */
export interface CertainOwner extends ProcessOwner {
  readonly serverName: string | null;
}

const NOBODY: CertainOwner = { serverName: null, container: null, user: null };

/**
 * Tells whose a process is: by its cgroup and the Engine's labels, and by the mark of its launch. That does not change
 * while a process lives, so each is asked about once.
 */
@Injectable()
export class ProcessOwners {
  private readonly known = new Map<string, CertainOwner>();
  private readonly servers: BriefQuestion;
  private readonly containers: BriefQuestion;

  constructor(
    private readonly launchers: LauncherRegistry,
    @Inject(Clock) clock: Clock,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.servers = new BriefQuestion(clock, logger);
    this.containers = new BriefQuestion(clock, logger);
  }

  /** For a reading, which does not wait for an Engine that is away: what nobody can tell just now is left open. */
  async of(pid: number): Promise<ProcessOwner> {
    const identity = await processIdentity(pid);
    if (!identity) return NOBODY;
    return (
      this.known.get(keyOf(identity)) ??
      this.find(identity, () =>
        this.servers.ask(`Whose process ${pid} is`, (limit) => this.serverOf(pid, limit)),
      )
    );
  }

  /**
   * For a deed, which must not go by a guess. What was found to belong to nobody is asked about again: it may have been
   * looked at before it entered its container, or became a server.
   * @throws EngineUnavailableError, DeadlineError, or whatever keeps those who know servers from telling
   */
  async certainly(pid: number): Promise<CertainOwner> {
    const identity = await processIdentity(pid);
    if (!identity) return NOBODY;
    const known = this.known.get(keyOf(identity));
    if (known && known.serverName !== null) return known;
    return this.find(identity, () => within({ ms: DECIDE_TIMEOUT_MS }, (limit) => this.serverOf(pid, limit)));
  }

  private async find<Server extends ProcessOwner['serverName']>(
    identity: ProcessIdentity,
    server: () => Promise<Server>,
  ): Promise<ProcessOwner & { readonly serverName: Server }> {
    const { pid } = identity;
    const [id, user] = await Promise.all([containerIdOf(pid), userOf(pid)]);
    const [serverName, container] = await Promise.all([server(), this.containerOf(id)]);
    if (serverName !== undefined && container !== undefined) {
      this.remember(keyOf(identity), { serverName, container, user });
    }
    return { serverName, container: container ?? shortOf(id), user };
  }

  /** Whoever fails to tell the name of a container may well know the servers, and the other way round. */
  private async containerOf(id: string | undefined): Promise<string | null | undefined> {
    if (id === undefined) return null;
    return this.containers.ask(`The name of container ${id}`, (limit) => this.containerName(id, limit));
  }

  private async serverOf(pid: number, signal: AbortSignal): Promise<string | null> {
    const ask = (launcher: Launcher): Promise<string | undefined> => launcher.serverOf(pid, signal);
    const names = await Promise.all(this.launchers.inUse().map(ask));
    return names.find((name) => name !== undefined) ?? null;
  }

  private async containerName(id: string, signal: AbortSignal): Promise<string | null> {
    return (await this.launchers.containerName(id, signal)) ?? shortOf(id);
  }

  private remember(key: string, owner: CertainOwner): void {
    const oldest = this.known.size >= MAX_KNOWN ? this.known.keys().next().value : undefined;
    if (oldest !== undefined) this.known.delete(oldest);
    this.known.set(key, owner);
  }
}

function keyOf({ pid, startTime }: ProcessIdentity): string {
  return `${pid} ${startTime}`;
}

function shortOf(id: string | undefined): string | null {
  return id?.slice(0, SHORT_ID_LENGTH) ?? null;
}
