import { BACKEND_LABEL, type Launcher, MODEL_LABEL, type ServerInfo } from '../../launchers/launcher.js';
import { FormerServers } from '../former-servers.js';
import { type OtherServers, PortRange } from '../port-range.js';
import type { Adoptable } from '../deployment.js';
import type { Needed, RemovalManner, Unneeded } from '../unneeded.js';
import type { RunnerHost } from '../runner-host.js';
import { Whereabouts } from '../whereabouts.js';
import type { PlacementServerConfig } from './placement-server-section.js';
import type { PlacementBackend, PlacementRole } from './placement-backend.js';
import { PlacementServer } from './placement-server.js';
import { isServerOf, labelled, portsIn } from './server-labels.js';

/** What the servers need to know of their backend. */
export interface BackendOfServers extends PlacementBackend {
  readonly models: readonly string[];
  launcherOf(modelName: string): Launcher['kind'];
}

interface Listed {
  readonly launcher: Launcher['kind'];
  readonly info: ServerInfo;
}

/** The servers of one backend, one per placement, and what of them is needed. */
export class PlacementServers {
  private readonly servers = new Map<string, PlacementServer>();
  private readonly ports: PortRange;
  private readonly formers: FormerServers;

  constructor(
    private readonly config: PlacementServerConfig,
    private readonly host: RunnerHost,
    private readonly backend: BackendOfServers,
  ) {
    this.formers = new FormerServers(backend.backend, host.launchers);
    this.ports = new PortRange({
      ...config.ports,
      inARow: 1,
      address: config.bind_address,
      setting: `runners.${backend.backend}.ports`,
      portsOf: (labels) => [...(portsIn(labels)?.values() ?? [])],
      isPortTaken: host.isPortTaken,
    });
  }

  /** Every launcher that a model of the configuration runs with, or a server that was taken over. */
  launchers(): readonly Launcher[] {
    const kinds = new Set(this.backend.models.map((model) => this.backend.launcherOf(model)));
    const configured = [...kinds].map((kind) => this.host.launchers.get(kind));
    return [...new Set([...configured, ...this.formers.launchersInUse])];
  }

  /** Of a placement: at home, or where an earlier configuration has put it. */
  of(modelName: string, gpuId: number): PlacementServer {
    const key = `${modelName} ${gpuId}`;
    const existing = this.servers.get(key);
    if (existing) return existing;
    const name = `${this.config.container_name}_${modelName}_${gpuId}`;
    const { backend, models } = this.backend;
    const kind = this.backend.launcherOf(modelName);
    const hasHome = models.includes(modelName);
    const { launchers } = this.host;
    const launcher = hasHome ? launchers.get(kind) : launchers.peek(kind);
    const isIt = (labels: ServerInfo['labels']): boolean => isServerOf(labels, { backend, modelName, gpuId });
    const whereabouts = new Whereabouts({ name, launcher }, isIt, this.formers, hasHome);
    const server = this.create({ name, modelName, gpuId }, whereabouts);
    this.servers.set(key, server);
    return server;
  }

  nameOf(modelName: string, gpuId: number): string {
    return this.of(modelName, gpuId).name;
  }

  /** Calls `listener` at the end of a server. */
  onExit(listener: () => void): () => void {
    if (this.backend.models.length > 0) this.formers.begin();
    return this.formers.onExit(this.launchers(), (name, kind) => {
      if ([...this.servers.values()].some((server) => server.isAt(name, kind))) listener();
    });
  }

  /** What runs, by the labels: also of models that the configuration does not have any more. @throws EngineUnavailableError */
  async adoptable(signal: AbortSignal): Promise<Adoptable> {
    const infos = await this.list({ [BACKEND_LABEL]: this.backend.backend }, signal);
    const running = infos.filter(({ info }) => info.running);
    const owned = await Promise.all(
      running.map(async (each) => (await this.ownOf(each, signal)) && labelled(each.info.labels)),
    );
    const found = owned.flatMap((server) => server ?? []).sort((a, b) => a.gpuId - b.gpuId);
    const modelNames = new Set([...this.backend.models, ...found.map(({ modelName }) => modelName)]);
    const deployments = [...modelNames].flatMap((modelName) => {
      const own = found.filter((each) => each.modelName === modelName);
      const [first] = own;
      // All GPUs of a model share its options: one that runs with others is started anew with these.
      if (!first) return [];
      const gpus = new Map(own.map((each) => [each.gpuId, each.gpus]));
      return [{ modelName, gpuIds: [...gpus.keys()], gpus, options: first.options }];
    });
    return { deployments };
  }

  /** @throws EngineUnavailableError */
  async findUnneeded(needed: readonly Needed[], signal: AbortSignal): Promise<readonly Unneeded[]> {
    await Promise.all(
      needed.flatMap(({ modelName, gpuIds }) =>
        gpuIds.map((gpuId) => this.of(modelName, gpuId).whereabouts.find(signal)),
      ),
    );
    const found = await this.list({ [BACKEND_LABEL]: this.backend.backend }, signal);
    return found
      .filter((each) => !this.isNeeded(each, needed))
      .map(({ launcher, info }) => {
        const { name: serverName, id: serverId, pid, running } = info;
        return { serverName, serverId, launcher, pid, running, models: modelsOf(info) };
      });
  }

  /** @throws StopFailedError, EngineUnavailableError */
  async removeUnneeded(
    unneeded: Unneeded,
    needed: () => readonly Needed[],
    manner: RemovalManner,
    signal: AbortSignal,
  ): Promise<boolean> {
    const launcher = this.host.launchers.get(unneeded.launcher);
    const info = await launcher.inspect(unneeded.serverName, signal);
    if (!info) return false;
    const listed: Listed = { launcher: launcher.kind, info };
    const server = (await this.ownOf(listed, signal)) ?? this.another(listed);
    const isNeeded = (labels: ServerInfo['labels']): boolean =>
      this.isNeeded({ ...listed, info: { ...info, labels } }, needed());
    return server.stopRun(unneeded.serverId, isNeeded, manner, signal);
  }

  private create(role: PlacementRole, whereabouts: Whereabouts): PlacementServer {
    const { name } = role;
    const { kind } = whereabouts.home.launcher;
    const others: OtherServers = (signal) => this.runningBeside(kind, signal);
    const ports = this.ports.of(name, others);
    return new PlacementServer(role, whereabouts, this.config, this.backend, ports);
  }

  /** The server of its placement, if this is it, and not another one beside that. @throws EngineUnavailableError */
  private async ownOf({ launcher, info }: Listed, signal: AbortSignal): Promise<PlacementServer | undefined> {
    const found = labelled(info.labels);
    if (!found) return undefined;
    const own = this.of(found.modelName, found.gpuId);
    await own.whereabouts.find(signal);
    return own.isAt(info.name, launcher) ? own : undefined;
  }

  /** One that is to be ended, whatever it was for. */
  private another({ launcher, info: { name, labels } }: Listed): PlacementServer {
    const { modelName, gpuId } = labelled(labels) ?? { modelName: '', gpuId: -1 };
    const place = { name, launcher: this.host.launchers.get(launcher) };
    return this.create({ name, modelName, gpuId }, new Whereabouts(place, () => true));
  }

  /**
   * The server of a needed placement; another one for the same is not. One whose labels do not tell its placement, of a
   * model that this configuration does not have, may be needed.
   */
  private isNeeded({ launcher, info }: Listed, needed: readonly Needed[]): boolean {
    const model = info.labels[MODEL_LABEL];
    const placements = needed.filter(({ modelName }) => modelName === model);
    if (model === undefined || placements.length === 0) return false;
    const gpuId = labelled(info.labels)?.gpuId;
    if (gpuId === undefined) return !this.backend.models.includes(model);
    return (
      placements.some(({ gpuIds }) => gpuIds.includes(gpuId)) &&
      this.of(model, gpuId).isAt(info.name, launcher)
    );
  }

  /**
   * Of every backend: an earlier configuration may have given them other ranges. The ports of the dead are free, or seen to
   * be taken. Only for a container is the Engine asked: it binds the ports of the others, which are seen to be taken then.
   */
  private async runningBeside(kind: Launcher['kind'], signal: AbortSignal): Promise<readonly ServerInfo[]> {
    const asked = this.launchers().filter(
      (launcher) => launcher.kind === kind || launcher.kind === 'process',
    );
    const lists = await Promise.all(asked.map((launcher) => launcher.list({}, signal)));
    return lists.flat().filter(({ running }) => running);
  }

  /** With those that an earlier configuration has launched otherwise. @throws EngineUnavailableError */
  private async list(labels: ServerInfo['labels'], signal: AbortSignal): Promise<Listed[]> {
    const former = await this.formers.launchersOfThem(signal);
    const lists = await Promise.all(
      [...new Set([...this.launchers(), ...former])].map(async (launcher) => {
        const infos = await launcher.list(labels, signal);
        return infos.map((info) => ({ launcher: launcher.kind, info }));
      }),
    );
    return lists.flat();
  }
}

function modelsOf({ labels }: ServerInfo): readonly string[] {
  const model = labels[MODEL_LABEL];
  return model === undefined ? [] : [model];
}
