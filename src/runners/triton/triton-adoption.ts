import { within } from '../../common/deadline.js';
import { messageOf } from '../../common/errors.js';
import { BACKEND_LABEL, type Launcher } from '../../launchers/launcher.js';
import type { Adoptable, Deployment } from '../runner.js';
import { placesOf } from './instance-groups.js';
import { TRITON } from './launch-spec.js';
import { type LoadedModel, loadedModels } from './loaded-models.js';
import type { ModelRepository } from './model-repository.js';
import type { TritonClient } from './triton-client.js';
import type { TritonServers } from './triton-servers.js';

/** Time, ms, of a server to say what it has loaded, and how. */
const ASK_TIMEOUT_MS = 3000;

/** What the Tritons under this service's label serve, by their own word. */
export class TritonAdoption {
  constructor(
    private readonly launcher: Launcher,
    private readonly servers: TritonServers,
    /** Of the configuration. */
    private readonly models: readonly string[],
    private readonly repository: ModelRepository,
  ) {}

  /** @throws EngineUnavailableError */
  async find(signal: AbortSignal): Promise<Adoptable> {
    const infos = await this.launcher.list({ [BACKEND_LABEL]: TRITON }, signal);
    const running = infos.filter((info) => info.running).map(({ name }) => name);
    const found = await Promise.all(running.map((name) => this.servedBy(name, signal)));
    const unclear = found.flatMap((each) => each.unclear ?? []);
    return {
      deployments: found.flatMap((each) => each.deployments),
      ...(unclear.length > 0 && { unclear: unclear.join('; ') }),
    };
  }

  private async servedBy(serverName: string, signal: AbortSignal): Promise<Adoptable> {
    const models = this.models.filter((model) => this.servers.of(model).name === serverName);
    if (models.length === 0) return { deployments: [] };
    try {
      return await within({ ms: ASK_TIMEOUT_MS, signal }, async (limit) => {
        const client = (await this.servers.named(serverName, this.models).find(limit))?.client;
        if (!client) return { deployments: [] };
        const loaded = (await loadedModels(client, limit)).filter(({ name }) => models.includes(name));
        const deployments = await Promise.all(loaded.map((model) => this.deploymentOf(model, client, limit)));
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
    client: TritonClient,
    signal: AbortSignal,
  ): Promise<Deployment | undefined> {
    // Of one that is loading, Triton has no configuration yet, or still the one before.
    const written = state === 'LOADING' ? await this.repository.written(modelName) : undefined;
    const config = written ?? (await client.modelConfig(modelName, signal));
    if (!config) throw new Error(`the configuration of ${modelName} cannot be had`);
    // Triton tells no placement of a model whose instances it chooses itself, nor of an ensemble.
    const places = placesOf(config) ?? placesOf((await this.repository.written(modelName)) ?? config);
    return places && { modelName, gpuIds: places.gpuIds, options: { instances_per_gpu: places.count } };
  }
}
