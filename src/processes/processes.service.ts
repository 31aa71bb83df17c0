import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { messageOf } from '../common/errors.js';
import { LOGGER, type Logger } from '../common/logging/logger.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { GpuTenants } from '../gpus/gpu-tenants.js';
import { GpusService } from '../gpus/gpus.service.js';
import { describeCommand } from './command-line.js';
import { type EndedBy, endProcess, type Pace } from './end-process.js';
import { ProcessForbiddenError, ProcessNotFoundError, ProcessOutOfScopeError } from './errors.js';
import { HostProcesses } from './host-processes.js';
import type { ProcessFacts } from './process-facts.js';
import { refusalOf } from './protection.js';
import { outOfScope } from './scope.js';

/** Who asks for the end of a process; for the log. */
export interface Requester {
  readonly from: string | undefined;
  readonly request: unknown;
}

export interface EndedProcess {
  readonly endedBy: EndedBy;
  /** Models that it served, as a server of this service. */
  readonly models: readonly string[];
}

/** Ends processes: decides whether it may, then does it once, however many ask. */
@Injectable()
export class ProcessesService {
  private readonly underWay = new Map<string, Promise<EndedBy>>();
  private readonly pace: Pace;

  constructor(
    private readonly host: HostProcesses,
    private readonly gpus: GpusService,
    private readonly tenants: GpuTenants,
    clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.pace = { monotonicMs: () => clock.monotonicMs(), pause: (ms) => sleep(ms) };
  }

  /**
   * Ends the process that has `pid` now. Resolves when it is gone.
   * @throws ProcessNotFoundError, ProcessForbiddenError, ProcessOutOfScopeError, ProcessPermissionError,
   *   ProcessNotKilledError, and what the GPUs throw where the scope asks for them
   */
  async end(pid: number, requester: Requester): Promise<EndedProcess> {
    const facts = await this.permitted(pid);
    const models = this.modelsOf(pid);
    const log = this.logger.child({ process: this.summary(facts), models, ...requester });
    log.warn(`Ending process ${pid} (${facts.name}) on request`);
    try {
      const endedBy = await this.endOnce(facts);
      log.warn({ endedBy }, `Ended process ${pid} (${facts.name})`);
      return { endedBy, models };
    } catch (error) {
      log.warn({ reason: messageOf(error) }, `Did not end process ${pid} (${facts.name})`);
      throw error;
    }
  }

  private async permitted(pid: number): Promise<ProcessFacts> {
    const facts = await this.host.facts(pid);
    if (!facts) throw new ProcessNotFoundError(`There is no process ${pid}.`, { pid });
    const ancestors = await this.host.ancestorsOf(process.pid);
    const refusal = refusalOf(facts, { pid: process.pid, ancestors });
    if (refusal?.kind === 'absent') throw new ProcessNotFoundError(refusal.reason, { pid });
    if (refusal?.kind === 'forbidden') throw new ProcessForbiddenError(refusal.reason, { pid });
    const reason = await outOfScope(pid, this.config.processes.scope, {
      ancestors: () => this.host.ancestorsOf(pid),
      tenants: () => this.tenants.list(),
      gpus: () => this.gpus.list(),
    });
    if (reason !== undefined) throw new ProcessOutOfScopeError(reason, { pid });
    return facts;
  }

  /** Requests for the same process share one end: one SIGTERM, one grace. Nobody's hanging up ends it early. */
  private endOnce(facts: ProcessFacts): Promise<EndedBy> {
    const key = `${facts.pid} ${facts.startTime}`;
    const present = this.underWay.get(key);
    if (present) return present;
    const { term_grace_seconds, kill_timeout_seconds } = this.config.processes;
    const options = { graceMs: term_grace_seconds * 1000, killTimeoutMs: kill_timeout_seconds * 1000 };
    const end = endProcess(facts, options, this.host, this.pace).finally(() => this.underWay.delete(key));
    this.underWay.set(key, end);
    return end;
  }

  private modelsOf(pid: number): readonly string[] {
    const served = this.tenants.list().filter((tenant) => tenant.pid === pid);
    return [...new Set(served.map((tenant) => tenant.modelName))];
  }

  private summary({ pid, name, userId, command }: ProcessFacts): Record<string, unknown> {
    return { pid, name, userId, command: describeCommand(command) };
  }
}
