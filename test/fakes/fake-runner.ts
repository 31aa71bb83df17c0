import { z } from 'zod';
import type { DomainError } from '../../src/common/errors.js';
import { orAborted } from '../../src/common/deadline.js';
import { type GpuSight, StopFailedError } from '../../src/launchers/launcher.js';
import type { Needed, RemovalManner, Unneeded } from '../../src/runners/unneeded.js';
import type { Adoptable, Deployment, DeploymentOptions } from '../../src/runners/deployment.js';
import type { PlacementObservation, PlacementPhase, Workload } from '../../src/runners/observation.js';
import type { RunnerContext, StopContext } from '../../src/runners/runner-context.js';
import type { Canary, ModelLiveness, ProgressReading } from '../../src/runners/progress.js';
import type { SleepContext, SleepLevel } from '../../src/runners/sleep.js';
import { FAKE_PID, RunnerScript } from './runner-script.js';

/** What a sleep and a wake need not know. */
const NOWHERE = { gpus: [], wanted: () => [] };

/** A backend in memory. By itself every start and stop works at once; `hold` and `failNext` take it in hand. */
export class FakeRunner extends RunnerScript {
  readonly optionsSchema = z.strictObject({ instances: z.int().min(1).max(8), mode: z.string().optional() });

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

  async preflight(deployment?: Deployment): Promise<void> {
    if (this.preflightHangs) await new Promise(() => undefined);
    if (this.preflightError) throw this.preflightError;
    const refusal = deployment?.gpuIds.map((id) => this.unusable.get(id)).find((each) => each);
    if (refusal) throw refusal;
  }

  override unusableGpus(): Promise<ReadonlyMap<number, DomainError>> {
    return Promise.resolve(this.unusable);
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

  /** Of the last stop. */
  lastStop: StopContext | undefined;

  override serverNameOf(modelName: string, gpuId: number): string {
    if (this.isShared) return 'server';
    return this.measures ? `server-${modelName}-${gpuId}` : `server-${modelName}`;
  }

  override unitOf(modelName: string, gpuId: number): string {
    return this.isShared ? modelName : super.unitOf(modelName, gpuId);
  }

  override measuresFreeMemory(): boolean {
    return this.measures;
  }

  override drainSeconds(): number {
    return this.drain;
  }

  override cannotDrain(): string | undefined {
    return this.vain;
  }

  override async workload(): Promise<Workload | null> {
    this.workloadCalls += 1;
    if (this.work === 'hangs') return new Promise(() => undefined);
    if (this.work instanceof Error) throw this.work;
    return this.work;
  }

  override livenessOf(): ModelLiveness {
    return this.liveness;
  }

  override async progress(): Promise<ProgressReading | null> {
    this.progressCalls += 1;
    if (this.counted === 'hangs') return new Promise(() => undefined);
    if (this.counted instanceof Error) throw this.counted;
    return this.counted;
  }

  override gpuSight(): Promise<GpuSight> {
    this.sightCalls += 1;
    return this.sight instanceof Error ? Promise.reject(this.sight) : Promise.resolve(this.sight);
  }

  override canaryOf(): Canary | undefined {
    return this.canary;
  }

  async stop(deployment: Deployment, gpuIds: readonly number[], context: StopContext): Promise<void> {
    this.patience.push(context.patienceMs);
    this.lastStop = context;
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
        ...(!serves && this.lastLines && { lastLines: this.lastLines }),
        ...(!this.hidesSleep && serves && { sleeping: this.asleep.has(`${deployment.modelName} ${gpuId}`) }),
      };
    });
  }

  private phaseOf(modelName: string, serves: boolean): PlacementPhase {
    if (!serves) return 'absent';
    return this.frozen.has(modelName) ? 'silent' : 'ready';
  }
}

function isNeeded(needed: readonly Needed[], model: string, gpuId: number): boolean {
  return needed.some(({ modelName, gpuIds }) => modelName === model && gpuIds.includes(gpuId));
}
