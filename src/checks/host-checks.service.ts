import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Semaphore } from 'async-mutex';
import { Clock } from '../common/clock.js';
import { DeadlineError, within } from '../common/deadline.js';
import { messageOf } from '../common/errors.js';
import { LOGGER, type Logger } from '../common/logging/logger.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { GpuHealth } from '../gpus/health/gpu-health.js';
import { GpusService } from '../gpus/gpus.service.js';
import { LauncherRegistry } from '../launchers/launcher-registry.js';
import { PORT_CLAIMS } from '../runners/runners.module.js';
import type { GpuRef } from '../runners/deployment.js';
import { RUNNER, type Runner } from '../runners/runner.js';
import { type Check, fault, faultOf, type Finding } from './check.js';
import { clockCheck } from './clock-check.js';
import { engineCheck } from './engine-check.js';
import { type CheckResult, resultsOf } from './findings.js';
import { gpuCheck } from './gpu-check.js';
import { type NamedPorts, portCheck } from './port-check.js';
import { remedyOf } from './remedies.js';
import { requestCheck } from './request-check.js';
import { startFindings } from './start-check.js';

/** Time of each check, ms; and of all of them. */
const CHECK_MS = 5000;
const ALL_MS = 15_000;
/** One answer serves all who ask for so long, ms. */
const FRESH_MS = 3000;
/** Models that are asked about at once. */
const MODELS_AT_ONCE = 4;

export interface HostChecksResult {
  readonly checkedAt: Date;
  readonly results: readonly CheckResult[];
}

/** Says what on this host will not work, before somebody needs it. Changes nothing. */
@Injectable()
export class HostChecks implements OnApplicationShutdown {
  private readonly ending = new AbortController();
  private readonly checks: readonly Check[];
  private last: (HostChecksResult & { readonly atMs: number }) | undefined;
  private underWay: Promise<HostChecksResult> | undefined;

  constructor(
    private readonly gpus: GpusService,
    private readonly clock: Clock,
    launchers: LauncherRegistry,
    health: GpuHealth,
    @Inject(RUNNER) private readonly runners: readonly Runner[],
    @Inject(PORT_CLAIMS) claims: readonly NamedPorts[],
    @Inject(CONFIG) config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    const { port } = config.server;
    const own: NamedPorts[] = port === 0 ? [] : [{ path: 'server.port', from: port, to: port }];
    this.checks = [
      engineCheck(launchers),
      gpuCheck(gpus, health, config.gpus.policies),
      clockCheck(clock, config.state.dir),
      portCheck([...own, ...claims]),
      requestCheck(runners, config.liveness),
    ];
  }

  /** No older than a few seconds; all who ask at once share one look. Never throws but for the end of the service. */
  async look(): Promise<HostChecksResult> {
    if (this.last && this.clock.monotonicMs() - this.last.atMs < FRESH_MS) return this.last;
    this.underWay ??= this.lookAnew().finally(() => {
      this.underWay = undefined;
    });
    return this.underWay;
  }

  /** One warning for each thing that will not work. Never throws. */
  async report(): Promise<void> {
    try {
      const { results } = await this.look();
      for (const { name, status, line, remedy, models } of results) {
        if (status === 'warn') this.logger.warn({ check: name, remedy, models }, line);
      }
    } catch (error) {
      if (!this.ending.signal.aborted) {
        this.logger.warn({ err: error }, `The checks of this host failed: ${messageOf(error)}`);
      }
    }
  }

  onApplicationShutdown(): void {
    this.ending.abort(new Error('the service is ending'));
  }

  private async lookAnew(): Promise<HostChecksResult> {
    const { signal } = this.ending;
    const checkedAt = this.clock.now();
    const findings: Finding[] = [];
    const late = await within({ ms: ALL_MS, signal }, async (limit) => {
      await Promise.all([
        ...this.checks.map(async (check) => findings.push(await this.finding(check, limit))),
        this.findModels(findings, limit),
      ]);
    }).catch((error: unknown) => {
      signal.throwIfAborted();
      return messageOf(error);
    });
    if (typeof late === 'string') findings.push({ name: 'models', faults: [], unknown: late });
    const results = resultsOf([...findings].sort((a, b) => a.name.localeCompare(b.name)));
    this.last = { checkedAt, results, atMs: this.clock.monotonicMs() };
    return this.last;
  }

  private async finding(check: Check, signal: AbortSignal): Promise<Finding> {
    const { name, late } = check;
    try {
      return { name, faults: await within({ ms: CHECK_MS, signal }, (limit) => check.run(limit)) };
    } catch (error) {
      signal.throwIfAborted();
      const found =
        error instanceof DeadlineError
          ? fault(`The check of ${name} was ${messageOf(error)}.`, remedyOf(late))
          : faultOf(error);
      return { name, faults: [found] };
    }
  }

  private async findModels(findings: Finding[], signal: AbortSignal): Promise<void> {
    const gpus = await this.knownGpus(signal);
    const turns = new Semaphore(MODELS_AT_ONCE);
    // Of a backend that is not set up, nothing is expected.
    const models = this.runners.flatMap((runner) =>
      runner.models.filter((model) => runner.canStart(model)).map((model) => ({ runner, model })),
    );
    await Promise.all(
      models.map(({ runner, model }) =>
        turns.runExclusive(async () => {
          signal.throwIfAborted();
          findings.push(...(await this.modelFindings(runner, model, gpus, signal)));
        }),
      ),
    );
  }

  private async modelFindings(
    runner: Runner,
    model: string,
    gpus: readonly GpuRef[],
    signal: AbortSignal,
  ): Promise<Finding[]> {
    try {
      return await within({ ms: CHECK_MS, signal }, (limit) => startFindings(runner, model, gpus, limit));
    } catch (error) {
      signal.throwIfAborted();
      return [{ name: `${runner.backend}.start`, faults: [], unknown: `${model}: ${messageOf(error)}` }];
    }
  }

  /** None while they cannot be read, which is said of them. */
  private async knownGpus(signal: AbortSignal): Promise<readonly GpuRef[]> {
    try {
      return await within({ ms: CHECK_MS, signal }, () => this.gpus.inventory());
    } catch {
      signal.throwIfAborted();
      return [];
    }
  }
}
