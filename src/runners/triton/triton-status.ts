import { within } from '../../common/deadline.js';
import { messageOf, systemCodeOf } from '../../common/errors.js';
import type { GpuSight } from '../../launchers/launcher.js';
import type { Deployment, GpuRef } from '../deployment.js';
import type { PlacementObservation, PlacementPhase } from '../observation.js';
import { absentAfter } from '../ending.js';
import { unseenAs } from '../unseen.js';
import { indexIn, type VisibleGpus } from '../visible-gpus.js';
import type { Ensembles } from './ensembles.js';
import type { GpuVisibility } from './gpu-visibility.js';
import { placesOf, serves } from './instance-groups.js';
import type { ModelPlaces } from './model-places.js';
import type { IndexRow, TritonModelConfig } from './triton-client.js';
import { optionsOf } from './triton-options.js';
import type { RunningTriton } from './triton-server.js';
import type { TritonServers } from './triton-servers.js';

/** Time, ms, of the launcher to say whether the server runs; what a probe has beyond that is for the server itself. */
const INSPECT_TIMEOUT_MS = 1000;

/** Phase of a placement, why it is so, and the last lines of a server that has ended. */
type Phase = readonly [PlacementPhase, string?, (readonly string[] | undefined)?];

interface Seen {
  readonly phase: Phase;
  /** Of the GPU that it is on, where the server's labels tell. */
  readonly gpuUuid?: string | undefined;
}

type SeenOnGpu = (gpuId: number) => Seen;

const NOT_LOADED = 'the model is not loaded';

/** What is true of a deployment, by the launcher's word and by Triton's. */
export class TritonStatus {
  /** Model → id of the run of its server that was last seen to serve it. */
  private readonly servedIn = new Map<string, string>();

  constructor(
    private readonly servers: TritonServers,
    private readonly visibility: GpuVisibility,
    private readonly places: ModelPlaces,
    private readonly ensembles: Ensembles,
  ) {}

  /** `Runner.getStatus` */
  async of(
    deployment: Deployment,
    gpus: readonly GpuRef[],
    signal: AbortSignal,
  ): Promise<readonly PlacementObservation[]> {
    const { modelName } = deployment;
    const observed = { deployment, gpus };
    let running: RunningTriton | undefined;
    try {
      running = await within({ ms: INSPECT_TIMEOUT_MS, signal }, async (limit) =>
        (await this.servers.locate(modelName, limit)).find(limit),
      );
    } catch (error) {
      const { lastSeen } = this.servers.of(modelName);
      return this.statusBehindLauncher(observed, lastSeen, messageOf(error), signal);
    }
    if (!running) {
      const { phase, reason, lastLines } = absentAfter(await this.servers.of(modelName).ending());
      return this.observations(observed, undefined, () => ({ phase: [phase, reason, lastLines] }));
    }
    try {
      const seen = await this.askPhases(observed, running, signal);
      return this.withEarlierEnd(this.observations(observed, running, seen), deployment, running);
    } catch (error) {
      return this.observations(observed, running, () => ({ phase: [unseenAs(error), messageOf(error)] }));
    }
  }

  /** `Runner.gpuSight` */
  async gpuSight(model: string, maxAgeMs: number, signal: AbortSignal): Promise<GpuSight> {
    const server = this.servers.of(model);
    const { lastSeen } = server;
    if (!lastSeen || this.visibility.isNone(lastSeen.sight)) return 'unknown';
    const sight = await server.gpuSight(maxAgeMs, signal);
    return typeof sight === 'string' ? sight : { ...sight, run: lastSeen.info.id };
  }

  /** Where the launcher does not answer, for whatever reason: Triton's own word is as good. */
  private async statusBehindLauncher(
    observed: Observed,
    running: RunningTriton | undefined,
    trouble: string,
    signal: AbortSignal,
  ): Promise<readonly PlacementObservation[]> {
    if (!running) return this.observations(observed, undefined, () => ({ phase: ['unknown', trouble] }));
    try {
      return this.observations(observed, running, await this.askPhases(observed, running, signal));
    } catch (error) {
      const isRefused = systemCodeOf(error) === 'ECONNREFUSED';
      const words = `${trouble}; Triton: ${messageOf(error)}`;
      return this.observations(observed, running, () => ({
        phase: [isRefused ? 'unknown' : unseenAs(error), words],
      }));
    }
  }

  /** What Triton says of the model on each GPU. @throws whatever keeps it from saying so */
  private async askPhases(
    { deployment }: Observed,
    { client, sight }: RunningTriton,
    signal: AbortSignal,
  ): Promise<SeenOnGpu> {
    const config = (await client.isModelReady(deployment.modelName, signal))
      ? await client.modelConfig(deployment.modelName, signal)
      : undefined;
    if (config) {
      const isEnsemble = config.platform === 'ensemble' || config.ensemble_scheduling.step.length > 0;
      this.ensembles.note(deployment.modelName, isEnsemble);
      this.places.note(deployment.modelName, config);
      const kind = this.places.groupKindOf(deployment.modelName, sight);
      if (isEnsemble || kind === undefined) return () => ({ phase: ['ready'] });
      const count = optionsOf(deployment.options).instances_per_gpu;
      return (gpuId) => {
        const visibleIndex = expectedIndex(deployment, gpuId, sight.visible);
        return serves(config, { gpuId, visibleIndex }, count, kind)
          ? { phase: ['ready'], gpuUuid: uuidOf(config, gpuId, sight.visible) }
          : { phase: ['absent', 'the model has no instances on this GPU'] };
      };
    }
    const phase = phaseOf(await client.indexOf(deployment.modelName, signal));
    return () => ({ phase });
  }

  /** A server that others have launched anew does not have the model: it was lost with the run before. */
  private withEarlierEnd(
    observations: readonly PlacementObservation[],
    { modelName }: Deployment,
    { info }: RunningTriton,
  ): readonly PlacementObservation[] {
    const earlier = this.servedIn.get(modelName);
    if (observations.some(({ phase }) => phase === 'ready')) this.servedIn.set(modelName, info.id);
    if (earlier === undefined || earlier === info.id) return observations;
    const ending = this.servers.of(modelName).endingOf(earlier);
    return observations.map((each) =>
      ending && each.phase === 'absent' && each.reason === NOT_LOADED
        ? { ...each, ...absentAfter(ending) }
        : each,
    );
  }

  private observations(
    { deployment, gpus }: Observed,
    running: RunningTriton | undefined,
    seen: SeenOnGpu,
  ): PlacementObservation[] {
    const server = this.servers.of(deployment.modelName);
    const outdated = running && server.outdated(running, this.visibility.of(gpus));
    // What a list of GPUs comes to is known once the GPUs are.
    const known = gpus.length > 0 ? outdated : outdated?.filter((aspect) => aspect !== 'gpus');
    return deployment.gpuIds.map((gpuId) => {
      const { phase, gpuUuid } = seen(gpuId);
      const [name, reason, lastLines] = phase;
      return {
        gpuId,
        phase: name,
        ...(reason !== undefined && { reason }),
        ...(lastLines && { lastLines }),
        pid: running?.info.pid ?? null,
        port: running?.ports.http ?? null,
        serverName: running ? server.name : null,
        ...(gpuUuid !== undefined && { gpuUuids: [gpuUuid] }),
        ...(known && known.length > 0 && { outdated: known }),
      };
    });
  }
}

/** What is asked about, and every GPU of the host. */
interface Observed {
  readonly deployment: Deployment;
  readonly gpus: readonly GpuRef[];
}

/** What the server calls the GPU of a placement; -1: it does not see it; `null`: nobody can tell. */
function expectedIndex(
  deployment: Deployment,
  gpuId: number,
  visible: VisibleGpus | undefined,
): number | null {
  if (visible === undefined || visible === 'none') return null;
  const gpu = deployment.gpus?.get(gpuId)?.[0];
  return gpu && gpu.uuid !== null ? indexIn(visible, gpu) : null;
}

function uuidOf(
  config: TritonModelConfig,
  gpuId: number,
  visible: VisibleGpus | undefined,
): string | undefined {
  if (visible === undefined || visible === 'none') return undefined;
  const index = placesOf(config)?.places.find((place) => place.gpuId === gpuId)?.visibleIndex ?? null;
  const device = index === null ? undefined : visible[index];
  return device === undefined || /^\d+$/.test(device) ? undefined : device;
}

function phaseOf(rows: readonly IndexRow[]): Phase {
  const states = rows.map((row) => row.state);
  if (states.includes('LOADING')) return ['starting'];
  // READY here, and not when asked for readiness a moment ago: it has just come up, the next probe will see it.
  if (states.includes('READY')) return ['starting'];
  // Nobody of this run waits for it, or it would not be asked about: a start waits for its end, and not for ever.
  if (states.includes('UNLOADING')) return ['absent', 'the model is being unloaded'];
  return ['absent', rows.find((row) => row.reason)?.reason ?? NOT_LOADED];
}
