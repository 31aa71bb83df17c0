import { pollUntil } from '../../../src/common/deadline.js';
import type { Deployment } from '../../../src/runners/deployment.js';
import type { PlacementObservation, PlacementPhase } from '../../../src/runners/observation.js';
import type { Runner } from '../../../src/runners/runner.js';
import type { RunnerContext } from '../../../src/runners/runner-context.js';
import type { Needed } from '../../../src/runners/unneeded.js';

/** A backend for one case of the suite. */
export interface RunnerHarness {
  /** A new instance over the same servers, as after a restart of the service. */
  create(): Runner | Promise<Runner>;
  /** A model that is ready soon. */
  readonly model: string;
  /** One whose start fails. */
  readonly failing?: string;
  /** One that is never ready. */
  readonly endless?: string;
  /** All the models share one server: what happens to one GPU happens to all. */
  readonly sharesServer: boolean;
  /** The main process of a server dies at once. */
  kill(observation: PlacementObservation): void | Promise<void>;
  /** It goes on, and answers nobody. Left out: this backend has no such thing. */
  freeze?(observation: PlacementObservation): void | Promise<void>;
  /** What runs the servers cannot be asked any more. */
  loseLauncher?(): void | Promise<void>;
  /** Ends everything that the case launched. */
  cleanUp(): Promise<void>;
}

const GPUS = [0, 1, 2, 3].map((id) => ({ id, uuid: `GPU-${id}` }));

/** The signal of a call that is never given up. */
export const never = new AbortController().signal;

/** The backend of the case that runs, and its runner. */
export class RunnerRig {
  harness!: RunnerHarness;
  runner!: Runner;
  /** What is wanted of the backend. */
  wanted: Deployment[] = [];

  /** @param timeoutMs the most time that one case takes, ms */
  constructor(private readonly timeoutMs: number) {}

  async open(harness: RunnerHarness): Promise<void> {
    this.wanted = [];
    this.harness = harness;
    this.runner = await harness.create();
  }

  case(title: string, run: () => Promise<void>): void {
    it(title, run, this.timeoutMs);
  }

  deployment(...gpuIds: number[]): Deployment {
    return this.of(this.harness.model, ...gpuIds);
  }

  of(modelName: string, ...gpuIds: number[]): Deployment {
    return { modelName, gpuIds, options: this.runner.defaultOptions(modelName) };
  }

  needed(...gpuIds: number[]): Needed[] {
    return [{ modelName: this.harness.model, gpuIds }];
  }

  context(signal: AbortSignal = never): RunnerContext & { patienceMs: number } {
    return { signal, gpus: GPUS, wanted: () => this.wanted, onProgress: () => undefined, patienceMs: 0 };
  }

  async start(...gpuIds: number[]): Promise<PlacementObservation[]> {
    this.wanted = [this.deployment(...gpuIds)];
    await this.runner.start(this.deployment(...gpuIds), this.context());
    return this.untilPhase('ready', ...gpuIds);
  }

  async stop(kept: number[], taken: number[]): Promise<void> {
    this.wanted = kept.length > 0 ? [this.deployment(...kept)] : [];
    await this.runner.stop(this.deployment(...kept), taken, this.context());
  }

  async status(...gpuIds: number[]): Promise<PlacementObservation[]> {
    return [...(await this.runner.getStatus(this.deployment(...gpuIds), AbortSignal.timeout(2000)))];
  }

  async phases(...gpuIds: number[]): Promise<PlacementPhase[]> {
    return (await this.status(...gpuIds)).map(({ phase }) => phase);
  }

  untilPhase(phase: PlacementPhase, ...gpuIds: number[]): Promise<PlacementObservation[]> {
    return this.until(async () => {
      const observations = await this.status(...gpuIds);
      return observations.every((each) => each.phase === phase) ? observations : undefined;
    });
  }

  /** Polls for half of the time of a case. */
  until<T>(probe: () => Promise<T | undefined>): Promise<T> {
    return pollUntil(probe, { intervalMs: 20, signal: AbortSignal.timeout(this.timeoutMs / 2) });
  }

  async kill(observation: PlacementObservation | undefined): Promise<void> {
    if (!observation) throw new Error('nothing to kill');
    await this.harness.kill(observation);
  }
}
