import { within } from '../../common/deadline.js';
import { type Launcher, MODEL_LABEL } from '../../launchers/launcher.js';
import type { Unneeded } from '../unneeded.js';
import type { TritonServer } from './triton-server.js';
import type { ListedTriton, TritonServers } from './triton-servers.js';
import type { TritonClient } from './triton-client.js';
import { loadedModels } from './loaded-models.js';

/** Time of a server to say what it has loaded. */
const INDEX_TIMEOUT_MS = 2000;

/** What there is of Triton under this service's label, and what of it the needed models need. */
export class TritonInventory {
  constructor(
    private readonly servers: TritonServers,
    /** Of the configuration; models of others are never unneeded. */
    private readonly models: readonly string[],
  ) {}

  /** @throws EngineUnavailableError */
  async findUnneeded(needed: readonly string[], signal: AbortSignal): Promise<readonly Unneeded[]> {
    await Promise.all(needed.map((model) => this.servers.locate(model, signal)));
    const listed = await this.servers.list(signal);
    const found = await Promise.all(listed.map((each) => this.unneededOf(each, needed, signal)));
    return found.flat();
  }

  /** The server, or the model in it, is needed. A model that the configuration does not have may be in the shared one. */
  isNeeded({ serverName, launcher, labels, model }: Spot, needed: readonly string[]): boolean {
    return needed
      .filter((each) => model === undefined || each === model)
      .some(
        (each) =>
          this.servers.of(each).isAt(serverName, launcher.kind) ||
          (!this.models.includes(each) &&
            (labels[MODEL_LABEL] === each || this.isShared(serverName, launcher))),
      );
  }

  serverAt(name: string, launcher: Launcher): TritonServer {
    return this.servers.at(name, launcher, this.models);
  }

  private isShared(name: string, { kind }: Launcher): boolean {
    return this.servers.shared.isAt(name, kind);
  }

  private async unneededOf(
    { info, launcher }: ListedTriton,
    needed: readonly string[],
    signal: AbortSignal,
  ): Promise<Unneeded[]> {
    const { name: serverName, labels, id: serverId, pid, running } = info;
    const server = { serverName, serverId, launcher: launcher.kind, pid, running };
    const spot = { serverName, launcher, labels };
    if (!this.isNeeded(spot, needed)) {
      return [{ ...server, models: await this.loadedIn(spot, signal) }];
    }
    const models = await this.unneededModels(spot, needed, signal);
    return models.map((model) => ({ ...server, model, models: [model] }));
  }

  private async loadedIn(
    { serverName, launcher }: Spot,
    signal: AbortSignal,
  ): Promise<readonly string[] | null> {
    try {
      return await within({ ms: INDEX_TIMEOUT_MS, signal }, async (limit) => {
        const client = (await this.serverAt(serverName, launcher).find(limit))?.client;
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
    spot: Spot,
    needed: readonly string[],
    signal: AbortSignal,
  ): Promise<string[]> {
    const isSpare = (model: string): boolean =>
      this.models.includes(model) && !this.isNeeded({ ...spot, model }, needed);
    try {
      return await within({ ms: INDEX_TIMEOUT_MS, signal }, async (limit) => {
        const client = (await this.serverAt(spot.serverName, spot.launcher).find(limit))?.client;
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

/** A server, or a model in it. */
interface Spot {
  readonly serverName: string;
  readonly launcher: Launcher;
  readonly labels: Readonly<Record<string, string>>;
  readonly model?: string;
}

/** Models that an ensemble is made of; none for any other model. */
async function stepsOf(client: TritonClient, model: string, signal: AbortSignal): Promise<string[]> {
  const config = await client.modelConfig(model, signal);
  if (!config) throw new Error(`${model} is not ready any more`);
  return config.ensemble_scheduling.step.map((step) => step.model_name);
}
