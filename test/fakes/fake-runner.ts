import { z } from 'zod';
import { orAborted } from '../../src/common/deadline.js';
import { StopFailedError } from '../../src/launchers/launcher.js';
import type { Needed, RemovalManner, Unneeded } from '../../src/runners/unneeded.js';
import {
  type Adoptable,
  type Deployment,
  type DeploymentOptions,
  type PlacementObservation,
  type PlacementPhase,
  Runner,
  type RunnerContext,
  type StopContext,
  type Workload,
} from '../../src/runners/runner.js';
import type { SleepContext, SleepLevel } from '../../src/runners/sleep.js';

/** Main process of the server on GPU 0: beyond `pid_max`, so that no process of the host can be taken for it. */
const FAKE_PID = 5_000_100;

/** What a sleep and a wake need not know. */
const NOWHERE = { gpus: [], wanted: () => [] };

type Verb = 'start' | 'stop' | 'force' | 'sleep' | 'wake';

/** A call of `start`, `stop`, `sleep` or `wake` that is under way, for a test to end. */
export class HeldCall {
  private settle!: { resolve: () => void; reject: (error: unknown) => void };
  readonly done: Promise<void>;

  constructor(
    readonly verb: Verb,
    readonly deployment: Deployment,
    /** GPUs to start on, or to let go of. */
    readonly gpuIds: readonly number[],
    readonly context: RunnerContext,
    private readonly takeEffect: () => void,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.done.catch(() => undefined);
  }

  succeed(): void {
    this.takeEffect();
    this.settle.resolve();
  }

  fail(error: Error): void {
    this.settle.reject(error);
  }
}

/** A backend in memory. By itself every start and stop works at once; `hold` and `failNext` take it in hand. */
export class FakeRunner extends Runner {
  readonly optionsSchema = z.strictObject({ instances: z.int().min(1).max(8), mode: z.string().optional() });
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
  /** What the backend says of its requests; an Error: it cannot say, `'hangs'`: it does not answer. */
  work: Workload | null | Error | 'hangs' = null;
  workloadCalls = 0;
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
  private readonly measuring = new Map<string, readonly number[]>();
  /** The contract was broken: servers that measure free memory came up at once on one GPU. */
  measuredTogether = false;

  constructor(
    readonly models: readonly string[] = ['A', 'B'],
    readonly backend = 'fake',
  ) {
    super();
  }

  defaultOptions(): DeploymentOptions {
    return { instances: 2 };
  }

  instancesPerGpu(options: DeploymentOptions): number {
    return this.optionsSchema.parse(options).instances;
  }

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

  async preflight(_deployment?: Deployment): Promise<void> {
    if (this.preflightHangs) await new Promise(() => undefined);
    if (this.preflightError) throw this.preflightError;
  }

  async start(deployment: Deployment, context: RunnerContext): Promise<void> {
    const { modelName, gpuIds } = deployment;
    this.calls.push(`start ${modelName} [${gpuIds.join()}]`);
    this.measure(modelName, gpuIds);
    try {
      await this.perform('start', deployment, gpuIds, context, () => {
        this.world.set(modelName, new Set([...this.servedOn(modelName), ...gpuIds]));
      });
    } finally {
      this.measuring.delete(this.unitOf(modelName, gpuIds[0] ?? 0));
    }
  }

  private measure(modelName: string, gpuIds: readonly number[]): void {
    if (!this.measures) return;
    const isServed = (gpuId: number): boolean => this.world.get(modelName)?.has(gpuId) ?? false;
    const held = gpuIds.filter((gpuId) => !isServed(gpuId)).flatMap((gpuId) => this.gpusOf(gpuId));
    const unit = this.unitOf(modelName, gpuIds[0] ?? 0);
    const others = [...this.measuring].flatMap(([other, gpus]) => (other === unit ? [] : gpus));
    if (held.some((gpuId) => others.includes(gpuId))) this.measuredTogether = true;
    this.measuring.set(unit, held);
  }

  override serverNameOf(modelName: string, gpuId: number): string {
    if (this.isShared) return 'server';
    return this.measures ? `server-${modelName}-${gpuId}` : `server-${modelName}`;
  }

  override unitOf(modelName: string, gpuId: number): string {
    return this.isShared ? modelName : super.unitOf(modelName, gpuId);
  }

  override gpusOf(gpuId: number): readonly number[] {
    return Array.from({ length: this.span }, (_, index) => gpuId + index);
  }

  override measuresFreeMemory(): boolean {
    return this.measures;
  }

  override drainSeconds(): number {
    return this.drain;
  }

  override async workload(): Promise<Workload | null> {
    this.workloadCalls += 1;
    if (this.work === 'hangs') return new Promise(() => undefined);
    if (this.work instanceof Error) throw this.work;
    return this.work;
  }

  async stop(deployment: Deployment, gpuIds: readonly number[], context: StopContext): Promise<void> {
    this.patience.push(context.patienceMs);
    await this.takeAway('stop', deployment, gpuIds, context);
  }

  stopByForce(deployment: Deployment, gpuIds: readonly number[], context: RunnerContext): Promise<void> {
    return this.takeAway('force', deployment, gpuIds, context);
  }

  override sleep(
    deployment: Deployment,
    gpuId: number,
    level: SleepLevel,
    context: SleepContext,
  ): Promise<void> {
    this.calls.push(`sleep ${deployment.modelName} [${gpuId}] ${level}`);
    return this.perform('sleep', deployment, [gpuId], { ...context, ...NOWHERE }, () => {
      this.asleep.add(`${deployment.modelName} ${gpuId}`);
    });
  }

  override wake(deployment: Deployment, gpuId: number, context: SleepContext): Promise<void> {
    this.calls.push(`wake ${deployment.modelName} [${gpuId}]`);
    return this.perform('wake', deployment, [gpuId], { ...context, ...NOWHERE }, () => {
      this.asleep.delete(`${deployment.modelName} ${gpuId}`);
    });
  }

  private async takeAway(
    verb: 'stop' | 'force',
    deployment: Deployment,
    gpuIds: readonly number[],
    context: RunnerContext,
  ): Promise<void> {
    const { modelName, gpuIds: keep } = deployment;
    const kept = keep.length > 0 ? ` keep [${keep.join()}]` : '';
    this.calls.push(`${verb} ${modelName} [${gpuIds.join()}]${kept}`);
    await this.perform(verb, deployment, gpuIds, context, () => {
      const left = this.servedOn(modelName).filter((gpuId) => !gpuIds.includes(gpuId));
      this.world.set(modelName, new Set(left));
      for (const gpuId of gpuIds) this.asleep.delete(`${modelName} ${gpuId}`);
    });
  }

  recycle({ modelName }: Deployment): Promise<boolean> {
    this.calls.push(`recycle ${modelName}`);
    const failure = this.recycleErrors.shift();
    if (failure) return Promise.reject(failure);
    return Promise.resolve(this.frozen.delete(modelName) && this.world.delete(modelName));
  }

  override async adoptable(): Promise<Adoptable> {
    this.adoptionCalls += 1;
    if (this.adoptionHangs) return new Promise(() => undefined);
    if (this.adoptionTrouble instanceof Error) throw this.adoptionTrouble;
    const deployments = [...this.world.keys()]
      .filter((model) => this.servedOn(model).length > 0 && !this.frozen.has(model))
      .map((modelName) => ({
        modelName,
        gpuIds: this.servedOn(modelName),
        options: this.servedOptions.get(modelName) ?? this.defaultOptions(),
      }));
    return { deployments, ...(this.adoptionTrouble !== undefined && { unclear: this.adoptionTrouble }) };
  }

  async findUnneeded(needed: readonly Needed[], signal?: AbortSignal): Promise<readonly Unneeded[]> {
    this.findCalls += 1;
    if (this.findError) throw this.findError;
    if (this.findHangs && signal) await orAborted(new Promise(() => undefined), signal);
    return [...this.world.keys()]
      .filter((model) => this.servedOn(model).some((gpuId) => !isNeeded(needed, model, gpuId)))
      .map((model) => ({
        serverName: `server-${model}`,
        serverId: `run-of-${model}`,
        launcher: 'process' as const,
        pid: FAKE_PID,
        running: true,
        models: [model],
      }));
  }

  async removeUnneeded(
    { serverId, models }: Unneeded,
    needed: () => readonly Needed[],
    manner: RemovalManner,
    signal: AbortSignal,
  ): Promise<boolean> {
    const model = models?.[0] ?? '';
    this.calls.push(`remove ${model}${manner === 'force' ? ' by force' : ''}`);
    const failure = this.removalErrors.shift();
    if (failure) throw failure;
    if (manner === 'polite' && this.unending.has(model)) {
      await orAborted(new Promise(() => undefined), signal);
    }
    if (this.immortal.has(model)) throw new StopFailedError(`server-${model} could not be stopped`);
    await this.beforeRemoval();
    const served = this.servedOn(model);
    const kept = served.filter((gpuId) => isNeeded(needed(), model, gpuId));
    if (kept.length === served.length || serverId !== `run-of-${model}`) return false;
    this.world.set(model, new Set(kept));
    return true;
  }

  async getStatus(deployment: Deployment): Promise<readonly PlacementObservation[]> {
    this.statusCalls += 1;
    if (this.statusError) throw this.statusError;
    if (this.statusHangs) await new Promise(() => undefined);
    const served = this.servedOn(deployment.modelName);
    return deployment.gpuIds.map((gpuId) => {
      const serves = served.includes(gpuId);
      return {
        gpuId,
        phase: this.phases.get(gpuId) ?? this.phase ?? this.phaseOf(deployment.modelName, serves),
        pid: serves || this.serverStays ? this.pidOn(gpuId) : null,
        port: serves ? 8000 + gpuId : null,
        serverName: serves ? this.serverNameOf(deployment.modelName, gpuId) : null,
        ...(!this.hidesSleep && serves && { sleeping: this.asleep.has(`${deployment.modelName} ${gpuId}`) }),
      };
    });
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get listenerCount(): number {
    return this.listeners.size;
  }

  private phaseOf(modelName: string, serves: boolean): PlacementPhase {
    if (!serves) return 'absent';
    return this.frozen.has(modelName) ? 'silent' : 'ready';
  }

  private async perform(
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

function isNeeded(needed: readonly Needed[], model: string, gpuId: number): boolean {
  return needed.some(({ modelName, gpuIds }) => modelName === model && gpuIds.includes(gpuId));
}
