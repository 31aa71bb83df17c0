import { Inject, Injectable } from '@nestjs/common';
import { DeadlineError, inSeconds } from '../common/deadline.js';
import { messageOf } from '../common/errors.js';
import { LOGGER, type Logger } from '../common/logging/logger.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { GpuOccupants } from '../gpus/gpu-occupants.js';
import { GpusService } from '../gpus/gpus.service.js';
import { type CertainOwner, ProcessOwners } from '../gpus/process-owners.js';
import { Supervisor } from '../models/supervisor/supervisor.js';
import { describeCommand } from './command-line.js';
import { type EndedBy, endProcess } from './end-process.js';
import {
  ProcessForbiddenError,
  ProcessNotFoundError,
  ProcessOutOfScopeError,
  ProcessOwnerUnknownError,
} from './errors.js';
import { HostProcesses } from '../host/host-processes.js';
import type { ProcessFacts } from '../host/process-facts.js';
import { refusalOf } from './protection.js';
import { outOfScope } from './scope.js';

/** Who asks for the end of a process; for the log. */
export interface Requester {
  readonly from: string | undefined;
  readonly request: unknown;
}

export interface EndedProcess {
  readonly endedBy: EndedBy | 'end of its server';
  /** The server of this service that it belonged to. */
  readonly serverName: string | null;
  /** `MAM@0` for all that the server served: in ERROR now, and not brought back. */
  readonly placements: readonly string[];
  /** Why that is not on disk yet. */
  readonly unsaved?: string | undefined;
}

/** What an end of a process would hit. */
export interface Prospect {
  readonly serverName: string | null;
  readonly container: string | null;
  readonly user: string | null;
  readonly processes: readonly { readonly pid: number; readonly name: string }[];
  /** False while nobody can tell whether others would end, too. */
  readonly isComplete: boolean;
  readonly placements: readonly string[];
}

/** Ends whole servers, with all that they serve. */
export type ServerEnds = Pick<Supervisor, 'endServer' | 'placementsOn' | 'unsaved'>;

/** Ends processes: decides whether it may, then does it once, however many ask. */
@Injectable()
export class ProcessesService {
  private readonly underWay = new Map<string, Promise<EndedBy>>();

  constructor(
    private readonly host: HostProcesses,
    private readonly gpus: GpusService,
    private readonly occupants: GpuOccupants,
    private readonly owners: ProcessOwners,
    @Inject(Supervisor) private readonly servers: ServerEnds,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Ends the process that has `pid` now; where a server of this service serves with it, the whole server, by force.
   * Resolves when it is gone.
   * @throws ProcessNotFoundError, ProcessForbiddenError, ProcessOutOfScopeError, ProcessOwnerUnknownError,
   *   ProcessPermissionError, ProcessNotKilledError, what the GPUs throw where the scope asks for them, and what `Supervisor.endServer` throws
   */
  async end(pid: number, requester: Requester): Promise<EndedProcess> {
    const { facts, owner } = await this.permitted(pid);
    const { serverName } = owner;
    const isServing = serverName !== null && this.servers.placementsOn(serverName).length > 0;
    const log = this.logger.child({ process: this.summary(facts), server: serverName, ...requester });
    log.warn(`Ending process ${pid} (${facts.name}) on request`);
    try {
      const ended: EndedProcess = isServing
        ? await this.endServer(serverName, requester)
        : { endedBy: await this.endOnce(facts), serverName, placements: [] };
      log.warn(
        { endedBy: ended.endedBy, placements: ended.placements },
        `Ended process ${pid} (${facts.name})`,
      );
      return ended;
    } catch (error) {
      log.warn({ reason: messageOf(error) }, `Did not end process ${pid} (${facts.name})`);
      throw error;
    }
  }

  /** What `end` would hit, with the same refusals; nothing is done. @throws as `end` before its first signal */
  async foresee(pid: number): Promise<Prospect> {
    const { facts, owner } = await this.permitted(pid);
    const { serverName, container, user } = owner;
    const placements = serverName === null ? [] : this.servers.placementsOn(serverName);
    const itself = { pid, name: facts.name };
    const ending =
      serverName !== null && placements.length > 0
        ? await this.processesOf(serverName)
        : { processes: [itself], isComplete: true };
    return { serverName, container, user, ...ending, placements };
  }

  private async endServer(serverName: string, { from, request }: Requester): Promise<EndedProcess> {
    const by = `${from ?? 'somebody'} (request ${String(request)})`;
    const placements = await this.servers.endServer(serverName, by, String(request));
    return { endedBy: 'end of its server', serverName, placements, unsaved: this.servers.unsaved };
  }

  private async processesOf(serverName: string): Promise<Pick<Prospect, 'processes' | 'isComplete'>> {
    const processes: { pid: number; name: string }[] = [];
    let isComplete = true;
    for (const pid of await this.host.pids()) {
      const told = (await this.owners.of(pid)).serverName;
      const served = told ?? (await this.servedBy(pid));
      if (told === undefined && served === null) isComplete = false;
      if (served !== serverName) continue;
      const facts = await this.host.facts(pid);
      if (facts?.alive) processes.push({ pid, name: facts.name });
    }
    return { processes, isComplete };
  }

  private async permitted(pid: number): Promise<{ facts: ProcessFacts; owner: CertainOwner }> {
    const facts = await this.host.facts(pid);
    if (!facts) throw new ProcessNotFoundError(`There is no process ${pid}.`, { pid });
    const ancestors = await this.host.ancestorsOf(process.pid);
    const refusal = refusalOf(facts, { pid: process.pid, ancestors });
    if (refusal?.kind === 'absent') throw new ProcessNotFoundError(refusal.reason, { pid });
    if (refusal?.kind === 'forbidden') throw new ProcessForbiddenError(refusal.reason, { pid });
    const owner = await this.ownerOf(pid);
    const reason = await outOfScope(pid, this.config.processes.scope, {
      isManaged: owner.serverName !== null,
      gpus: () => this.gpus.list(),
    });
    if (reason !== undefined) throw new ProcessOutOfScopeError(reason, { pid });
    return { facts, owner };
  }

  /**
   * Where those who know servers do not answer, the main process that it descends from tells its server. Whatever else is
   * in a container, of this service or of others, is not to be taken for nobody's.
   * @throws ProcessOwnerUnknownError
   */
  private async ownerOf(pid: number): Promise<CertainOwner> {
    const served = await this.servedBy(pid);
    try {
      const owner = await this.owners.certainly(pid);
      return { ...owner, serverName: owner.serverName ?? served };
    } catch (error) {
      if (served !== null) return { ...(await this.owners.of(pid)), serverName: served };
      const isLate = error instanceof DeadlineError;
      const reason = isLate ? `no answer within ${inSeconds(error.limitMs)}` : messageOf(error);
      throw new ProcessOwnerUnknownError(pid, reason, { cause: error });
    }
  }

  /** The server whose main process `pid` is, or descends from. */
  private async servedBy(pid: number): Promise<string | null> {
    const occupants = this.occupants.list();
    const mainPids = new Set(occupants.flatMap((each) => each.pid ?? []));
    const mainPid = await this.host.nearestAncestor(pid, mainPids);
    return occupants.find((each) => each.pid !== null && each.pid === mainPid)?.serverName ?? null;
  }

  /** Requests for the same process share one end: one SIGTERM, one grace. Nobody's hanging up ends it early. */
  private endOnce(facts: ProcessFacts): Promise<EndedBy> {
    const key = `${facts.pid} ${facts.startTime}`;
    const present = this.underWay.get(key);
    if (present) return present;
    const { term_grace_seconds, kill_timeout_seconds } = this.config.processes;
    const options = { graceMs: term_grace_seconds * 1000, killTimeoutMs: kill_timeout_seconds * 1000 };
    const end = endProcess(facts, options, this.host).finally(() => this.underWay.delete(key));
    this.underWay.set(key, end);
    return end;
  }

  private summary({ pid, name, userId, command }: ProcessFacts): Record<string, unknown> {
    return { pid, name, userId, command: describeCommand(command) };
  }
}
