import type { z } from 'zod';
import type { PlacementServerConfig } from '../../config/sections/placement-server.js';
import type { Launcher } from '../../launchers/launcher.js';
import { type DeploymentOptions, Runner, type Workload } from '../runner.js';
import type {
  BeforeStop,
  ProbeResult,
  RunnerHost,
  ServedPlacement,
  ServerProgram,
} from './served-placement.js';

/**
 * The base of backends with one server per placement. A backend extends it and says how to run its program (`program`)
 * and how to tell that it serves (`probe`); the rest is done here: names, labels, ports, GPUs, start, stop, force,
 * recycling, orphans, and finding servers again after a restart of this service.
 *
 * | the server | `probe` | phase |
 * |---|---|---|
 * | runs, with the wanted options | `ready` | `ready` |
 * | runs | `starting` | `starting` |
 * | runs, was never ready, `start_timeout_seconds` are not over | throws | `starting` |
 * | runs, has been ready or had its time | throws | `silent`; `unknown` where the answer made no sense |
 * | runs | `failed` | `absent`, with the error; the next start throws it |
 * | runs, with other options | – | `absent`; the next start replaces it |
 * | has ended (whatever is left of its children), or was never launched | – | `absent`, with how it ended |
 * | nobody can tell (the launcher is away) | as last seen | by its answer; `unknown` without |
 */
export abstract class PlacementServerRunner<
  Config extends PlacementServerConfig = PlacementServerConfig,
  Options extends DeploymentOptions = DeploymentOptions,
> extends Runner {
  abstract override readonly optionsSchema: z.ZodType<Options>;
  /** What ends a server politely. */
  readonly stopSignal: 'SIGTERM' | 'SIGINT' = 'SIGTERM';

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

  /** Before the polite signal: to clear queues, to give memory back. That it fails or is late keeps no stop. */
  beforeStop(_placement: ServedPlacement<Options>, _context: BeforeStop): Promise<void> {
    return Promise.resolve();
  }

  /** The cause of an end in words, out of the last lines of the log; `undefined`: the last line is. */
  explainExit(_lastLines: readonly string[]): string | undefined {
    return undefined;
  }

  /** How the server of a model runs. */
  launcherOf(_modelName: string): Launcher['kind'] {
    return this.config.launcher;
  }

  deviceOf(_modelName: string): 'gpu' | 'cpu' {
    return this.config.device;
  }

  startTimeoutSecondsOf(_modelName: string): number {
    return this.config.start_timeout_seconds;
  }

  stopGraceSecondsOf(_modelName: string): number {
    return this.config.stop_grace_seconds;
  }
}
