import { within } from '../../common/deadline.js';
import { BACKEND_LABEL, type Launcher, MODEL_LABEL, type ServerInfo } from '../../launchers/launcher.js';
import type { Unneeded } from '../unneeded.js';
import { TRITON } from './launch-spec.js';
import type { TritonServer } from './triton-server.js';
import type { TritonServers } from './triton-servers.js';
import type { TritonClient } from './triton-client.js';
import { loadedModels } from './loaded-models.js';

/** Time of a server to say what it has loaded. */
const INDEX_TIMEOUT_MS = 2000;

/** What there is of Triton under this service's label, and what of it the needed models need. */
export class TritonInventory {
  constructor(
    private readonly launcher: Launcher,
    private readonly servers: TritonServers,
    /** Of the configuration; models of others are never unneeded. */
    private readonly models: readonly string[],
  ) {}

  /** @throws EngineUnavailableError */
  async findUnneeded(needed: readonly string[], signal: AbortSignal): Promise<readonly Unneeded[]> {
    const infos = await this.launcher.list({ [BACKEND_LABEL]: TRITON }, signal);
    const found = await Promise.all(infos.map((info) => this.unneededOf(info, needed, signal)));
    return found.flat();
  }

  /** The server, or the model in it, is needed. A model that the configuration does not have may be in the shared one. */
  isNeeded({ serverName, labels, model }: Place, needed: readonly string[]): boolean {
    return needed
      .filter((each) => model === undefined || each === model)
      .some((each) =>
        this.models.includes(each)
          ? this.servers.of(each).name === serverName
          : labels[MODEL_LABEL] === each || serverName === this.servers.sharedName,
      );
  }

  serverNamed(name: string): TritonServer {
    return this.servers.named(name, this.models);
  }

  private async unneededOf(
    info: ServerInfo,
    needed: readonly string[],
    signal: AbortSignal,
  ): Promise<Unneeded[]> {
    const { name: serverName, labels, id: serverId, pid, running } = info;
    const server = { serverName, serverId, launcher: this.launcher.kind, pid, running };
    if (!this.isNeeded({ serverName, labels }, needed)) {
      return [{ ...server, models: await this.loadedIn(serverName, signal) }];
    }
    const models = await this.unneededModels({ serverName, labels }, needed, signal);
    return models.map((model) => ({ ...server, model, models: [model] }));
  }

  private async loadedIn(serverName: string, signal: AbortSignal): Promise<readonly string[] | null> {
    try {
      return await within({ ms: INDEX_TIMEOUT_MS, signal }, async (limit) => {
        const client = (await this.serverNamed(serverName).find(limit))?.client;
        return client ? (await loadedModels(client, limit)).map(({ name }) => name) : [];
      });
    } catch {
      signal.throwIfAborted();
      return null; // it may be frozen, or just come up: it is unneeded all the same
    }
  }

  /**
   * Models of the configuration that are loaded for nobody. Where it cannot be told what the others are made of, none:
   * an ensemble loads the models of its steps, and would break without them.
   */
  private async unneededModels(
    place: Place,
    needed: readonly string[],
    signal: AbortSignal,
  ): Promise<string[]> {
    const isSpare = (model: string): boolean =>
      this.models.includes(model) && !this.isNeeded({ ...place, model }, needed);
    try {
      return await within({ ms: INDEX_TIMEOUT_MS, signal }, async (limit) => {
        const client = (await this.serverNamed(place.serverName).find(limit))?.client;
        if (!client) return [];
        const rows = await loadedModels(client, limit);
        const others = rows.filter(({ name }) => !isSpare(name));
        if (others.some(({ state }) => state !== 'READY')) return [];
        const steps = await Promise.all(others.map(({ name }) => stepsOf(client, name, limit)));
        return rows.map(({ name }) => name).filter((name) => isSpare(name) && !steps.flat().includes(name));
      });
    } catch {
      signal.throwIfAborted();
      return []; // the next look will tell
    }
  }
}

interface Place {
  readonly serverName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly model?: string;
}

/** Models that an ensemble is made of; none for any other model. */
async function stepsOf(client: TritonClient, model: string, signal: AbortSignal): Promise<string[]> {
  const config = await client.modelConfig(model, signal);
  if (!config) throw new Error(`${model} is not ready any more`);
  return config.ensemble_scheduling.step.map((step) => step.model_name);
}
