import { within } from '../../common/deadline.js';
import { messageOf } from '../../common/errors.js';
import type { Adoptable, Deployment, GpuRef } from '../deployment.js';
import type { VisibleGpus } from '../visible-gpus.js';
import type { InstancePlace } from './instance-groups.js';
import { type LoadedModel, loadedModels } from './loaded-models.js';
import type { RunningTriton } from './triton-server.js';
import type { ListedTriton, TritonServers } from './triton-servers.js';

/** Time, ms, of a server to say what it has loaded, and how. */
const ASK_TIMEOUT_MS = 3000;

/** What the Tritons under this service's label serve, by their own word. */
export class TritonAdoption {
  constructor(
    private readonly servers: TritonServers,
    /** Of the configuration. */
    private readonly models: readonly string[],
  ) {}

  /** @throws EngineUnavailableError */
  async find(signal: AbortSignal): Promise<Adoptable> {
    await Promise.all(this.models.map((model) => this.servers.locate(model, signal)));
    const listed = await this.servers.list(signal);
    const running = listed.filter(({ info }) => info.running);
    const found = await Promise.all(running.map((each) => this.servedBy(each, signal)));
    const unclear = found.flatMap((each) => each.unclear ?? []);
    return {
      deployments: found.flatMap((each) => each.deployments),
      ...(unclear.length > 0 && { unclear: unclear.join('; ') }),
    };
  }

  private async servedBy({ info, launcher }: ListedTriton, signal: AbortSignal): Promise<Adoptable> {
    const { name: serverName } = info;
    const models = this.models.filter((model) => this.servers.of(model).isAt(serverName, launcher.kind));
    if (models.length === 0) return { deployments: [] };
    try {
      return await within({ ms: ASK_TIMEOUT_MS, signal }, async (limit) => {
        const running = await this.servers.at(serverName, launcher, this.models).find(limit);
        if (!running) return { deployments: [] };
        const loaded = (await loadedModels(running.client, limit)).filter(({ name }) =>
          models.includes(name),
        );
        const deployments = await Promise.all(
          loaded.map((model) => this.deploymentOf(model, running, limit)),
        );
        return { deployments: deployments.filter((deployment) => deployment !== undefined) };
      });
    } catch (error) {
      signal.throwIfAborted();
      return { deployments: [], unclear: `${serverName} does not say what it serves: ${messageOf(error)}` };
    }
  }

  /** `undefined`: not loaded by this service, which names what it places (the step of an ensemble, say). */
  private async deploymentOf(
    { name: modelName, state }: LoadedModel,
    { client, repository, sight: { visible } }: RunningTriton,
    signal: AbortSignal,
  ): Promise<Deployment | undefined> {
    // Of one that is loading, Triton has no configuration yet, or still the one before.
    const written = state === 'LOADING' ? await repository.written(modelName) : undefined;
    const config = written ?? (await client.modelConfig(modelName, signal));
    if (!config) throw new Error(`the configuration of ${modelName} cannot be had`);
    const found = await repository.placesOf(modelName, config);
    if (!found) return undefined;
    const gpus = found.places.map((place) => [place.gpuId, [gpuOf(place, visible)]] as const);
    return {
      modelName,
      gpuIds: found.places.map(({ gpuId }) => gpuId),
      ...(visible !== undefined && { gpus: new Map(gpus) }),
      options: { instances_per_gpu: found.count },
    };
  }
}

/** By the labels of its server; where they do not tell, by the placement's number. */
function gpuOf({ gpuId, visibleIndex }: InstancePlace, visible: VisibleGpus | undefined): GpuRef {
  const device = visible === 'none' || visibleIndex === null ? undefined : visible?.[visibleIndex];
  if (device === undefined) return { id: gpuId, uuid: null };
  return /^\d+$/.test(device) ? { id: Number(device), uuid: null } : { id: gpuId, uuid: device };
}
