import { strictly } from '../../common/examiner.js';
import type { GpuSight } from '../../launchers/launcher.js';
import type { Adoptable, Deployment, DeploymentOptions, GpuRef } from '../deployment.js';
import type { PlacementObservation, Workload } from '../observation.js';
import type { PreflightContext, RunnerContext, StopContext } from '../runner-context.js';
import type { ProgressReading } from '../progress.js';
import type { SleepContext, SleepLevel } from '../sleep.js';
import type { Needed, RemovalManner, Unneeded } from '../unneeded.js';
import { gpusOfPlacement } from '../visible-gpus.js';
import type { PlacementServerConfig } from './placement-server-section.js';
import type { Wanted } from './placement-backend.js';
import { BEFORE_STOP_MS, type PlacementServer } from './placement-server.js';
import { PlacementServers } from './placement-servers.js';
import { PlacementServerTraits } from './placement-server-traits.js';
import type { ServedPlacement } from './served-placement.js';

/** From the end of a server's grace until it must be gone, over the launcher's own patience with it. */
const STOP_SLACK_SECONDS = 20;

/** A unit has one server, and so one GPU that it goes by. */
function each<T>(gpuIds: readonly number[], work: (gpuId: number) => Promise<T>): Promise<T[]> {
  return Promise.all(gpuIds.map(work));
}

function longest(seconds: readonly number[]): number {
  return Math.max(0, ...seconds);
}

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
> extends PlacementServerTraits<Config, Options> {
  private madeServers: PlacementServers | undefined;

  get startTimeoutMs(): number {
    const needsPull =
      this.config.pull === 'if-missing' && this.models.some((model) => this.launcherOf(model) === 'docker');
    const seconds = this.models.map(
      (model) => this.startTimeoutSecondsOf(model) + this.stopGraceSecondsOf(model),
    );
    return ((needsPull ? this.host.pullTimeoutSeconds : 0) + longest(seconds) + STOP_SLACK_SECONDS) * 1000;
  }

  get stopTimeoutMs(): number {
    const seconds = this.models.map((model) => this.stopGraceSecondsOf(model));
    return (longest(seconds) + STOP_SLACK_SECONDS) * 1000 + BEFORE_STOP_MS;
  }

  async preflight(
    deployment: Deployment,
    { gpus, signal, examine = strictly }: PreflightContext,
  ): Promise<void> {
    await each(deployment.gpuIds, (gpuId) =>
      this.server(deployment, gpuId).check(this.wanted(deployment, gpuId, gpus), signal, examine),
    );
  }

  async start(deployment: Deployment, context: RunnerContext): Promise<void> {
    await each(deployment.gpuIds, (gpuId) =>
      this.server(deployment, gpuId).ensureReady(this.wanted(deployment, gpuId, context.gpus), context),
    );
  }

  async stop(deployment: Deployment, gpuIds: readonly number[], context: StopContext): Promise<void> {
    await each(gpuIds, (gpuId) => this.server(deployment, gpuId).stop(context.patienceMs, context.signal));
  }

  async stopByForce(
    deployment: Deployment,
    gpuIds: readonly number[],
    context: RunnerContext,
  ): Promise<void> {
    await each(gpuIds, (gpuId) => this.server(deployment, gpuId).end(context.signal));
  }

  async recycle(deployment: Deployment, context: RunnerContext): Promise<boolean> {
    const ended = await each(deployment.gpuIds, (gpuId) =>
      this.server(deployment, gpuId).endIfSilent(context.signal),
    );
    return ended.includes(true);
  }

  override async sleep(
    deployment: Deployment,
    gpuId: number,
    level: SleepLevel,
    context: SleepContext,
  ): Promise<void> {
    await this.server(deployment, gpuId).whileRunning(context.signal, (placement) =>
      this.sleepServer(placement as ServedPlacement<Options>, level, context),
    );
  }

  override async wake(deployment: Deployment, gpuId: number, context: SleepContext): Promise<void> {
    await this.server(deployment, gpuId).whileRunning(context.signal, (placement) =>
      this.wakeServer(placement as ServedPlacement<Options>, context),
    );
  }

  /** Goes by the UUIDs that the deployment has: what it does not have, the server's labels may tell. */
  getStatus(deployment: Deployment, signal: AbortSignal): Promise<readonly PlacementObservation[]> {
    return each(deployment.gpuIds, (gpuId) =>
      this.server(deployment, gpuId).observe(this.wanted(deployment, gpuId, []), signal),
    );
  }

  override async workload(
    deployment: Deployment,
    gpuIds: readonly number[],
    signal: AbortSignal,
  ): Promise<Workload | null> {
    const all = await each(gpuIds, async (gpuId) => {
      const running = await this.server(deployment, gpuId).find(signal);
      return running ? this.serverWorkload(running.placement as ServedPlacement<Options>, signal) : null;
    });
    const told = all.filter((workload) => workload !== null);
    if (told.length === 0) return null;
    const uncounted = told.find((each) => each.uncounted !== undefined)?.uncounted;
    return {
      open: told.reduce((sum, { open }) => sum + open, 0),
      finished: told.reduce((sum, { finished }) => sum + finished, 0),
      ...(uncounted !== undefined && { uncounted }),
    };
  }

  override async progress(deployment: Deployment, signal: AbortSignal): Promise<ProgressReading | null> {
    const server = this.lastSeen(deployment);
    const counted = server && (await this.serverProgress?.(server, signal));
    return counted ? { ...counted, note: this.server(deployment, server.gpuId).note } : null;
  }

  override async gpuSight(deployment: Deployment, maxAgeMs: number, signal: AbortSignal): Promise<GpuSight> {
    const {
      modelName,
      gpuIds: [gpuId = 0],
    } = deployment;
    const device = this.lastSeen(deployment)?.settings.device ?? this.deviceOf(modelName);
    if (device === 'cpu') return 'unknown';
    return this.servers.of(modelName, gpuId).gpuSight(maxAgeMs, signal);
  }

  override serverNameOf(modelName: string, gpuId: number): string {
    return this.servers.nameOf(modelName, gpuId);
  }

  override adoptable(signal: AbortSignal): Promise<Adoptable> {
    return this.servers.adoptable(signal);
  }

  findUnneeded(needed: readonly Needed[], signal: AbortSignal): Promise<readonly Unneeded[]> {
    return this.servers.findUnneeded(needed, signal);
  }

  removeUnneeded(
    unneeded: Unneeded,
    needed: () => readonly Needed[],
    manner: RemovalManner,
    signal: AbortSignal,
  ): Promise<boolean> {
    return this.servers.removeUnneeded(unneeded, needed, manner, signal);
  }

  onChange(listener: () => void): () => void {
    return this.servers.onExit(listener);
  }

  /** Made when first needed: what it reads of the backend is there only after the constructors. */
  private get servers(): PlacementServers {
    this.madeServers ??= new PlacementServers(this.config, this.host, this);
    return this.madeServers;
  }

  protected lastSeen(deployment: Deployment): ServedPlacement<Options> | undefined {
    const server = this.server(deployment, deployment.gpuIds[0] ?? 0);
    return server.lastSeen as ServedPlacement<Options> | undefined;
  }

  private server({ modelName }: Deployment, gpuId: number): PlacementServer {
    return this.servers.of(modelName, gpuId);
  }

  private wanted(deployment: Deployment, gpuId: number, gpus: readonly GpuRef[]): Wanted {
    const { options } = deployment;
    return { options, gpus: gpusOfPlacement(deployment, gpuId, gpus, this.gpusOf(gpuId, options)) };
  }
}
