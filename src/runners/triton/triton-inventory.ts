import { within } from '../../common/deadline.js';
import { type Launcher, MODEL_LABEL } from '../../launchers/launcher.js';
import type { Unneeded } from '../unneeded.js';
import type { RunningTriton, TritonServer } from './triton-server.js';
import type { ListedTriton, TritonServers } from './triton-servers.js';
import type { TritonClient, TritonModelConfig } from './triton-client.js';
import { type LoadedModel, loadedModels } from './loaded-models.js';

/** Time of a server to say what it has loaded. */
const INDEX_TIMEOUT_MS = 2000;
/** The same, ms, when somebody waits for the end of that server. */
const SPARES_TIMEOUT_MS = 1000;

/** What there is of Triton under this service's label, and what of it the needed models need. */
export class TritonInventory {
  constructor(
    private readonly servers: TritonServers,
    /** Of the configuration. */
    private readonly models: readonly string[],
  ) {}

  /** @throws EngineUnavailableError */
  async findUnneeded(needed: readonly string[], signal: AbortSignal): Promise<readonly Unneeded[]> {
    await this.servers.shared.whereabouts.find(signal);
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

  /**
   * Models of this service that are loaded in a server and in nobody's hands: orphans, which have their grace, whoever leaves
   * the server. None, where it does not say so soon.
   */
  async sparesIn(
    running: RunningTriton,
    launcher: Launcher,
    needed: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const { name: serverName, labels } = running.info;
    return this.spares(running, { serverName, launcher, labels }, needed, SPARES_TIMEOUT_MS, signal);
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

  private async unneededModels(
    spot: Spot,
    needed: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const running = await this.serverAt(spot.serverName, spot.launcher)
      .find(signal)
      .catch(() => undefined);
    signal.throwIfAborted();
    return running ? this.spares(running, spot, needed, INDEX_TIMEOUT_MS, signal) : [];
  }

  /**
   * Models of this service that are loaded for nobody: those of the configuration, and those that have groups of ours. Where
   * it cannot be told what the others are made of, none: an ensemble loads the models of its steps, and would break
   * without them.
   */
  private async spares(
    { client, repository }: RunningTriton,
    spot: Spot,
    needed: readonly string[],
    ms: number,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    try {
      return await within({ ms, signal }, async (limit) => {
        const rows = await loadedModels(client, limit);
        const looks = await Promise.all(
          rows.map(async ({ name, state }): Promise<Look> => {
            if (this.isNeeded({ ...spot, model: name }, needed)) return lookAt(client, name, state, limit);
            if (this.models.includes(name)) return { spare: name, steps: [] };
            const look = await lookAt(client, name, state, limit);
            const isOurs = look.config && (await repository.placesOf(name, look.config));
            return isOurs ? { spare: name, steps: [] } : look;
          }),
        );
        if (looks.some(({ steps }) => steps === undefined)) return [];
        const steps = looks.flatMap((look) => look.steps ?? []);
        return looks.flatMap(({ spare }) => spare ?? []).filter((name) => !steps.includes(name));
      });
    } catch {
      signal.throwIfAborted();
      return []; // the next look will tell
    }
  }
}

/** What is to be known of a loaded model. */
interface Look {
  /** Its name, where nobody needs it. */
  readonly spare?: string;
  /** Models that an ensemble is made of; none for any other model; `undefined`: it does not tell yet. */
  readonly steps: readonly string[] | undefined;
  readonly config?: TritonModelConfig;
}

/** A server, or a model in it. */
interface Spot {
  readonly serverName: string;
  readonly launcher: Launcher;
  readonly labels: Readonly<Record<string, string>>;
  readonly model?: string;
}

async function lookAt(
  client: TritonClient,
  model: string,
  state: LoadedModel['state'],
  signal: AbortSignal,
): Promise<Look> {
  if (state !== 'READY') return { steps: undefined };
  const config = await client.modelConfig(model, signal);
  if (!config) throw new Error(`${model} is not ready any more`);
  return { steps: config.ensemble_scheduling.step.map((step) => step.model_name), config };
}
