import { within } from '../../common/deadline.js';
import { messageOf } from '../../common/errors.js';
import { MODEL_LABEL } from '../../launchers/launcher.js';
import type { Adoptable, Deployment, GpuRef } from '../deployment.js';
import type { VisibleGpus } from '../visible-gpus.js';
import type { InstancePlace } from './instance-groups.js';
import { type LoadedModel, loadedModels } from './loaded-models.js';
import type { RunningTriton } from './triton-server.js';
import type { ListedTriton, TritonServers } from './triton-servers.js';

/** Time, ms, of a server to say what it has loaded, and how. */
const ASK_TIMEOUT_MS = 3000;

/**
 * What the Tritons under this service's label serve, by their own word. A model that the configuration does not have any
 * more is known by the groups of ours that its configuration has there.
 */
export class TritonAdoption {
  constructor(
    private readonly servers: TritonServers,
    /** Of the configuration. */
    private readonly models: readonly string[],
  ) {}

  /** @throws EngineUnavailableError */
  async find(signal: AbortSignal): Promise<Adoptable> {
    await this.servers.shared.whereabouts.find(signal);
    const listed = await this.servers.list(signal);
    const running = listed.filter(({ info }) => info.running);
    const labelled = running.flatMap(({ info }) => info.labels[MODEL_LABEL] ?? []);
    const models = new Set([...this.models, ...labelled]);
    await Promise.all([...models].map((model) => this.servers.locate(model, signal)));
    const found = await Promise.all(running.map((each) => this.servedBy(each, signal)));
    const unclear = found.flatMap((each) => each.unclear ?? []);
    return {
      deployments: found.flatMap((each) => each.deployments),
      ...(unclear.length > 0 && { unclear: unclear.join('; ') }),
    };
  }

  private async servedBy({ info, launcher }: ListedTriton, signal: AbortSignal): Promise<Adoptable> {
    const { name: serverName } = info;
    const own = info.labels[MODEL_LABEL];
    const isHere = (model: string): boolean => this.servers.of(model).isAt(serverName, launcher.kind);
    const isShared = this.servers.shared.isAt(serverName, launcher.kind);
    // Whoever else is here is a second one: it serves nothing that is wanted, and need not answer.
    if (!isShared && ![...this.models, ...(own === undefined ? [] : [own])].some(isHere))
      return { deployments: [] };
    try {
      return await within({ ms: ASK_TIMEOUT_MS, signal }, async (limit) => {
        const running = await this.servers.at(serverName, launcher, this.models).find(limit);
        if (!running) return { deployments: [] };
        const loaded = await loadedModels(running.client, limit);
        const candidates = loaded.filter(({ name }) => isHere(name) || !this.models.includes(name));
        const deployments = await Promise.all(
          candidates.map((model) => this.deploymentOf(model, running, limit)),
        );
        const ours = deployments.filter((deployment) => deployment !== undefined);
        await Promise.all(ours.map(({ modelName }) => this.servers.locate(modelName, limit)));
        return { deployments: ours.filter(({ modelName }) => isHere(modelName)) };
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
    if (state === 'LOADING' && !written && !this.models.includes(modelName)) return undefined;
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
