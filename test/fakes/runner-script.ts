import type { DomainError } from '../../src/common/errors.js';
import { orAborted } from '../../src/common/deadline.js';
import type { GpuSight } from '../../src/launchers/launcher.js';
import type { Deployment, DeploymentOptions } from '../../src/runners/deployment.js';
import type { PlacementPhase, Workload } from '../../src/runners/observation.js';
import { Runner } from '../../src/runners/runner.js';
import type { RunnerContext } from '../../src/runners/runner-context.js';
import type { Canary, ModelLiveness, ProgressReading } from '../../src/runners/progress.js';
import { HeldCall, type Verb } from './held-call.js';

/** Main process of the server on GPU 0: beyond `pid_max`, so that no process of the host can be taken for it. */
export const FAKE_PID = 5_000_100;

/** What a test says of a backend in memory: how it behaves, which calls last or fail, and what happens to its servers. */
export abstract class RunnerScript extends Runner {
  startTimeoutMs = 100_000;
  stopTimeoutMs = 20_000;
  measures = false;
  override sleepTimeoutMs: number | null = 30_000;
  /** `A 0` for what sleeps. */
  readonly asleep = new Set<string>();
  /** The backend does not say what sleeps. */
  hidesSleep = false;

  /** What the backend serves. */
  readonly world = new Map<string, Set<number>>();
  /** `start A [0,1]`, `stop A [0] keep [1]` … in order. */
  readonly calls: string[] = [];
  readonly held: HeldCall[] = [];
  preflightError: Error | undefined;
  preflightHangs = false;
  /** GPUs that it cannot use. */
  readonly unusable = new Map<number, DomainError>();
  /** Phase of every GPU, whatever the world is. */
  phase: PlacementPhase | undefined;
  readonly recycleErrors: Error[] = [];
  /** Models whose server does not answer. */
  readonly frozen = new Set<string>();
  /** Phases of single GPUs. */
  readonly phases = new Map<number, PlacementPhase>();
  statusHangs = false;
  statusError: Error | undefined;
  statusCalls = 0;
  ignoresSignals = false;
  findCalls = 0;
  /** Nobody can tell which servers there are. */
  findError: Error | undefined;
  findHangs = false;
  readonly removalErrors: Error[] = [];
  /** Nobody can tell what is served; a string: of a part of it. */
  adoptionTrouble: Error | string | undefined;
  adoptionHangs = false;
  adoptionCalls = 0;
  /** What models are served with, where it is not the default. */
  readonly servedOptions = new Map<string, DeploymentOptions>();
  /** What the server of what is absent has written last, where it was seen to end. */
  lastLines: readonly string[] | undefined;
  /** What happens between the call of a removal and its turn. */
  beforeRemoval: () => Promise<void> = () => Promise.resolve();
  /** Models whose server does not end by itself. */
  readonly unending = new Set<string>();
  /** Models whose server cannot be ended. */
  readonly immortal = new Set<string>();
  /** How many GPUs a placement holds, from its own on. */
  span = 1;
  /** One server for all models. */
  isShared = false;
  /** The server goes on without the model, as one that models share. */
  serverStays = false;

  /** Seconds of a drain where a stop says nothing. */
  drain = 0;
  /** Why nothing can be drained, by the configuration. */
  vain: string | undefined;
  /** What the backend says of its requests; an Error: it cannot say, `'hangs'`: it does not answer. */
  work: Workload | null | Error | 'hangs' = null;
  workloadCalls = 0;
  /** What the backend counts of its requests; an Error: it cannot say, `'hangs'`: it does not answer. */
  /** Whether its servers reach their GPUs. */
  sight: GpuSight | Error = 'unknown';
  sightCalls = 0;
  counted: ProgressReading | null | Error | 'hangs' = null;
  progressCalls = 0;
  canary: Canary | undefined;
  liveness: ModelLiveness = {};
  /** Patience, ms, of every `stop`. */
  readonly patience: number[] = [];

  private readonly holding = new Set<Verb>();
  private readonly failures: Record<Verb, Error[]> = {
    start: [],
    stop: [],
    force: [],
    sleep: [],
    wake: [],
  };
  private readonly arrivals: (() => void)[] = [];
  private readonly listeners = new Set<() => void>();
  private overlap = new Map<string, number>();
  /** The contract was broken: two calls for one unit at once. */
  overlapped = false;
  /** GPUs on which a start is under way, by unit. */
  protected readonly measuring = new Map<string, readonly number[]>();
  /** The contract was broken: servers that measure free memory came up at once on one GPU. */
  measuredTogether = false;

  /** From now on, calls of `verb` last until the test ends them. */
  hold(verb: Verb): void {
    this.holding.add(verb);
  }

  letGo(verb: Verb): void {
    this.holding.delete(verb);
    for (const call of this.held.splice(0)) {
      // Of one that was broken off, nothing comes any more.
      if (this.ignoresSignals || !call.context.signal.aborted) call.succeed();
    }
  }

  failNext(verb: Verb, ...errors: Error[]): void {
    this.failures[verb].push(...errors);
  }

  /** The next held call that nobody has taken yet. */
  async nextCall(verb: Verb): Promise<HeldCall> {
    for (;;) {
      const index = this.held.findIndex((call) => call.verb === verb);
      const [call] = index >= 0 ? this.held.splice(index, 1) : [];
      if (call) return call;
      await new Promise<void>((resolve) => this.arrivals.push(resolve));
    }
  }

  /** The server of these models dies. */
  crash(...models: string[]): void {
    for (const model of models) {
      this.world.delete(model);
      for (const each of this.asleep) if (each.startsWith(`${model} `)) this.asleep.delete(each);
    }
    this.notify();
  }

  notify(): void {
    for (const listener of this.listeners) listener();
  }

  /** Main process of the server on a GPU, while there is one. */
  pidOn(gpuId: number): number {
    return FAKE_PID + gpuId;
  }

  servedOn(model: string): number[] {
    return [...(this.world.get(model) ?? [])].sort((a, b) => a - b);
  }

  override gpusOf(gpuId: number, _options?: DeploymentOptions): readonly number[] {
    return Array.from({ length: this.span }, (_, index) => gpuId + index);
  }

  /** Notes on which GPUs a start is under way, and whether another one measures there, too. */
  protected measure(modelName: string, gpuIds: readonly number[]): void {
    if (!this.measures) return;
    const isServed = (gpuId: number): boolean => this.world.get(modelName)?.has(gpuId) ?? false;
    const held = gpuIds.filter((gpuId) => !isServed(gpuId)).flatMap((gpuId) => this.gpusOf(gpuId));
    const unit = this.unitOf(modelName, gpuIds[0] ?? 0);
    const others = [...this.measuring].flatMap(([other, gpus]) => (other === unit ? [] : gpus));
    if (held.some((gpuId) => others.includes(gpuId))) this.measuredTogether = true;
    this.measuring.set(unit, held);
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get listenerCount(): number {
    return this.listeners.size;
  }

  /** A call fails, lasts or takes effect at once, as the test said. */
  protected async perform(
    verb: Verb,
    deployment: Deployment,
    gpuIds: readonly number[],
    context: RunnerContext,
    takeEffect: () => void,
  ): Promise<void> {
    const unit = this.unitOf(deployment.modelName, gpuIds[0] ?? 0);
    const running = (this.overlap.get(unit) ?? 0) + 1;
    this.overlap.set(unit, running);
    if (running > 1) this.overlapped = true;
    try {
      const failure = this.failures[verb].shift();
      if (failure) throw failure;
      if (!this.ignoresSignals) context.signal.throwIfAborted();
      const call = new HeldCall(verb, deployment, gpuIds, context, takeEffect);
      if (this.holding.has(verb)) {
        this.held.push(call);
        for (const arrived of this.arrivals.splice(0)) arrived();
      } else call.succeed();
      await (this.ignoresSignals ? call.done : orAborted(call.done, context.signal));
    } finally {
      this.overlap.set(unit, (this.overlap.get(unit) ?? 1) - 1);
    }
  }
}
