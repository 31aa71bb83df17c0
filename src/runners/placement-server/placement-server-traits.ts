import type * as z from 'zod';
import type { Launcher, StopSignal } from '../../launchers/launcher.js';
import type { DeploymentOptions } from '../deployment.js';
import type { LaunchSettings } from '../launched-as.js';
import type { Workload } from '../observation.js';
import type { ProgressReading } from '../progress.js';
import { Runner } from '../runner.js';
import type { RunnerHost } from '../runner-host.js';
import { type SleepContext, type SleepLevel, SleepNotSupportedError } from '../sleep.js';
import type { PlacementServerConfig } from './placement-server-section.js';
import type { BeforeStop, ProbeResult, ServedPlacement, ServerProgram } from './served-placement.js';

/** What a backend with one server per placement says of its servers: all of it, where this is not how most do it. */
export abstract class PlacementServerTraits<
  Config extends PlacementServerConfig,
  Options extends DeploymentOptions,
> extends Runner {
  abstract override readonly optionsSchema: z.ZodType<Options>;
  /** What asks a server to end. */
  readonly stopSignal: StopSignal = 'SIGTERM';
  /** Variables that decide what this backend decides itself: a server inherits them from nowhere. */
  readonly withheld: readonly string[] = [];
  /** Lines of a server's log that `explainExit` wants. */
  readonly linesToExplain: number = 20;

  constructor(
    protected readonly config: Config,
    protected readonly host: RunnerHost,
  ) {
    super();
  }

  get models(): readonly string[] {
    return this.config.supported_models;
  }

  instancesPerGpu(_options: DeploymentOptions): number {
    return 1;
  }

  /** The program that serves a placement. Pure: called for checks, too. @throws DomainError */
  abstract program(placement: ServedPlacement<Options>): ServerProgram;

  /**
   * Asks the server whether it serves; the signal is its deadline. Called again and again while it starts, and by every
   * look at the placement.
   * @throws whatever keeps it from answering; UnusableAnswerError when the answer makes no sense
   */
  abstract probe(placement: ServedPlacement<Options>, signal: AbortSignal): Promise<ProbeResult>;

  /** What the server has still to do. `null`: nothing, or it cannot tell. @throws what keeps it from answering */
  serverWorkload(_placement: ServedPlacement<Options>, _signal: AbortSignal): Promise<Workload | null> {
    return Promise.resolve(null);
  }

  /** What its counters say of its requests. `null`: nothing. @throws what keeps it from answering */
  serverProgress?(placement: ServedPlacement<Options>, signal: AbortSignal): Promise<ProgressReading | null>;

  /** Before the polite signal: to clear queues, to give memory back. That it fails or is late keeps no stop. */
  beforeStop(_placement: ServedPlacement<Options>, _context: BeforeStop): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Time, seconds, of a server to end that has less to finish than `stop_grace_seconds` is for; `undefined`: that. It is not
   * waited for when it is late.
   */
  graceSecondsNow(_placement: ServedPlacement<Options>, _signal: AbortSignal): Promise<number | undefined> {
    return Promise.resolve(undefined);
  }

  /** `Runner.sleep`, of a server that runs; with it, say `sleepTimeoutMs` and have `probe` tell whether it sleeps. */
  sleepServer(
    _placement: ServedPlacement<Options>,
    _level: SleepLevel,
    _context: SleepContext,
  ): Promise<void> {
    return Promise.reject(new SleepNotSupportedError(this.backend));
  }

  /** `Runner.wake`, the same. */
  wakeServer(_placement: ServedPlacement<Options>, _context: SleepContext): Promise<void> {
    return Promise.reject(new SleepNotSupportedError(this.backend));
  }

  /** The cause of an end in words, out of the last lines of the log; `undefined`: the last line is. */
  explainExit(_lastLines: readonly string[]): string | undefined {
    return undefined;
  }

  /**
   * Whether a server that ended by itself for this cause, out of `explainExit`, before it was ever ready would end so again:
   * it is not launched once more then. Never of what may pass: memory, ports, the network.
   */
  isFinalExit(_cause: string): boolean {
    return false;
  }

  /** How the server of a model runs. */
  launcherOf(_modelName: string): Launcher['kind'] {
    return this.config.launcher;
  }

  deviceOf(_modelName: string): 'gpu' | 'cpu' {
    return this.config.device;
  }

  /**
   * Settings of a launch that `probe` and the others go by who talk to the server: it keeps to them (`ServedPlacement.settings`).
   * None of a model that the configuration has no more.
   */
  settingsOf(_modelName: string): LaunchSettings {
    return {};
  }

  /** Names of the ports that a server of the model has besides the one that every server has. */
  portNamesOf(_modelName: string): readonly string[] {
    return [];
  }

  startTimeoutSecondsOf(_modelName: string): number {
    return this.config.start_timeout_seconds;
  }

  stopGraceSecondsOf(_modelName: string): number {
    return this.config.stop_grace_seconds;
  }

  /** Options as they come out of the state or off a running server; what an earlier version did not say is the default. */
  readOptions(modelName: string, options: DeploymentOptions): Options {
    const complete = { ...this.defaultOptions(modelName), ...options };
    const result = this.optionsSchemaOf(modelName).safeParse(complete);
    return (result.success ? result.data : complete) as Options;
  }
}
