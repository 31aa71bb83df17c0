import { BACKEND_LABEL, type Launcher, MODEL_LABEL, type ServerInfo } from '../../launchers/launcher.js';
import { type OtherServers, PortRange } from '../port-range.js';
import type { Adoptable } from '../runner.js';
import type { Needed, RemovalManner, Unneeded } from '../unneeded.js';
import type { RunnerHost } from '../runner-host.js';
import type { PlacementServerConfig } from './placement-server-section.js';
import type { PlacementBackend } from './placement-backend.js';
import { PlacementServer } from './placement-server.js';
import { labelled, portOf } from './server-labels.js';

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

  constructor(
    private readonly config: PlacementServerConfig,
    private readonly host: RunnerHost,
    private readonly backend: BackendOfServers,
  ) {
    this.ports = new PortRange({
      ...config.ports,
      perServer: 1,
      address: config.bind_address,
      setting: `runners.${backend.backend}.ports`,
      portsOf: (labels) => {
        const port = portOf(labels);
        return port === undefined ? [] : [port];
      },
      isPortTaken: host.isPortTaken,
    });
  }

  /** Every launcher that a model of the configuration runs with. */
  launchers(): readonly Launcher[] {
    const kinds = new Set(this.backend.models.map((model) => this.backend.launcherOf(model)));
    return [...kinds].map((kind) => this.host.launchers.get(kind));
  }

  of(modelName: string, gpuId: number): PlacementServer {
    return this.named(this.nameOf(modelName, gpuId), modelName, gpuId, this.backend.launcherOf(modelName));
  }

  nameOf(modelName: string, gpuId: number): string {
    return `${this.config.container_name}_${modelName}_${gpuId}`;
  }

  /** What runs for models of the configuration, by the labels. @throws EngineUnavailableError */
  async adoptable(signal: AbortSignal): Promise<Adoptable> {
    const { backend, models } = this.backend;
    const infos = await this.list({ [BACKEND_LABEL]: backend }, signal);
    const found = infos
      .filter(({ info }) => info.running)
      .flatMap(({ info }) => {
        const server = labelled(info.labels);
        return server && info.name === this.nameOf(server.modelName, server.gpuId) ? [server] : [];
      })
      .sort((a, b) => a.gpuId - b.gpuId);
    const deployments = models.flatMap((modelName) => {
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
    const found = await this.list({ [BACKEND_LABEL]: this.backend.backend }, signal);
    return found
      .filter(({ info }) => !this.isNeeded(info.name, info.labels, needed))
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
    const { modelName, gpuId } = labelled(info.labels) ?? { modelName: '', gpuId: -1 };
    const server = this.named(info.name, modelName, gpuId, launcher.kind);
    const isNeeded = (labels: ServerInfo['labels']): boolean => this.isNeeded(info.name, labels, needed());
    return server.stopRun(unneeded.serverId, isNeeded, manner, signal);
  }

  private named(name: string, modelName: string, gpuId: number, kind: Launcher['kind']): PlacementServer {
    const key = [kind, name, modelName, gpuId].join(' ');
    const existing = this.servers.get(key);
    if (existing) return existing;
    const launcher = this.host.launchers.get(kind);
    const role = { name, modelName, gpuId };
    const others: OtherServers = (signal) => this.runningBeside(kind, signal);
    const server = new PlacementServer(role, launcher, this.config, this.backend, {
      lease: (signal) => this.ports.lease(name, others, signal),
    });
    this.servers.set(key, server);
    return server;
  }

  /**
   * Of a needed placement, and found under its name by this configuration. Of a model that this configuration does not
   * have, whose placement cannot be told, it may be needed.
   */
  private isNeeded(name: string, labels: ServerInfo['labels'], needed: readonly Needed[]): boolean {
    const model = labels[MODEL_LABEL];
    const placements = needed.filter(({ modelName }) => modelName === model);
    if (model === undefined || placements.length === 0) return false;
    const isKnown = this.backend.models.includes(model);
    const gpuId = labelled(labels)?.gpuId;
    if (gpuId === undefined) return !isKnown;
    return (
      placements.some(({ gpuIds }) => gpuIds.includes(gpuId)) &&
      (!isKnown || name === this.nameOf(model, gpuId))
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

  private async list(labels: ServerInfo['labels'], signal: AbortSignal): Promise<Listed[]> {
    const lists = await Promise.all(
      this.launchers().map(async (launcher) => {
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
