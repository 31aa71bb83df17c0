import { within } from '../../common/deadline.js';
import { BACKEND_LABEL, type Launcher, type ServerInfo } from '../../launchers/launcher.js';
import { FormerServers } from '../former-servers.js';
import { fixedPorts } from '../port-range.js';
import type { RunnerHost } from '../runner-host.js';
import { Whereabouts } from '../whereabouts.js';
import type { TritonConfig } from './triton-section.js';
import { DedicatedPorts } from './dedicated-ports.js';
import { isTritonOf, TRITON } from './launch-spec.js';
import { loadedModels } from './loaded-models.js';
import type { ModelRepository } from './model-repository.js';
import { modelGpuConfig } from './triton-options.js';
import { TritonServer, type TritonServerRole } from './triton-server.js';

/** Time, ms, of the shared server to say whether it serves a model that is to have a server of its own. */
const ASK_TIMEOUT_MS = 1000;
/** The same of a model that it is to serve: where it does, nobody need be asked about others. */
const BRIEF_ASK_TIMEOUT_MS = 300;

/** A server as a launcher lists it. */
export interface ListedTriton {
  readonly launcher: Launcher;
  readonly info: ServerInfo;
}

/**
 * Which server serves which model: the shared one, or a model's own, as the configuration says; or the other one, where an
 * earlier configuration has put the model and it serves on.
 */
export class TritonServers {
  readonly shared: TritonServer;
  private readonly dedicated = new Map<string, TritonServer>();
  /** Models whose server is known, and that is not the one of the configuration. */
  private readonly elsewhere = new Map<string, TritonServer>();
  /** Models whose server is known. */
  private readonly located = new Set<string>();
  private readonly ports: DedicatedPorts;
  private readonly launcher: Launcher;
  readonly formers: FormerServers;

  constructor(
    private readonly config: TritonConfig,
    host: Pick<RunnerHost, 'launchers' | 'isPortTaken'>,
    private readonly repository: ModelRepository,
  ) {
    this.launcher = host.launchers.get(config.launcher);
    this.formers = new FormerServers(TRITON, host.launchers);
    this.ports = new DedicatedPorts(config, this.launcher, host.isPortTaken);
    this.shared = this.create({
      name: config.container_name,
      ports: fixedPorts([config.http_port, config.grpc_port, config.metrics_port]),
    });
  }

  /** The launcher of the configuration, and those of servers that were taken over. */
  launchers(): readonly Launcher[] {
    return [...new Set([this.launcher, ...this.formers.launchersInUse])];
  }

  /** Every Triton of this service, the dead included, however it was launched. @throws EngineUnavailableError */
  async list(signal: AbortSignal): Promise<ListedTriton[]> {
    const former = await this.formers.launchersOfThem(signal);
    const lists = await Promise.all(
      [...new Set([...this.launchers(), ...former])].map(async (launcher) => {
        const infos = await launcher.list({ [BACKEND_LABEL]: TRITON }, signal);
        return infos.map((info) => ({ launcher, info }));
      }),
    );
    return lists.flat();
  }

  /** Whoever is in this place: a server of some model, or one that no configuration means any more. */
  at(name: string, launcher: Launcher, models: readonly string[]): TritonServer {
    const known = [this.shared, ...models.map((model) => this.of(model)), ...this.dedicated.values()];
    return known.find((server) => server.isAt(name, launcher.kind)) ?? this.former(name, launcher);
  }

  /** As far as it was looked for; before that, as the configuration has it. */
  of(model: string): TritonServer {
    return this.elsewhere.get(model) ?? this.configured(model);
  }

  /** The same, once it was looked for. @throws EngineUnavailableError, DeadlineError */
  async locate(model: string, signal: AbortSignal): Promise<TritonServer> {
    if (this.located.has(model)) return this.of(model);
    const own = this.dedicatedOf(model);
    if (this.configured(model) === own) {
      const isElsewhere =
        !(await own.glance(signal)) && (await this.isInShared(model, ASK_TIMEOUT_MS, signal));
      return this.settle(model, isElsewhere ? this.shared : undefined);
    }
    if (await this.isInShared(model, BRIEF_ASK_TIMEOUT_MS, signal)) return this.settle(model, undefined);
    try {
      return this.settle(model, (await own.glance(signal)) && own);
    } catch {
      signal.throwIfAborted();
      return this.shared; // what runs there can be told all the same
    }
  }

  /** What the server of the model reads, as far as it was seen; otherwise, that of the configuration. */
  repositoryOf(model: string): ModelRepository {
    return this.of(model).lastSeen?.repository ?? this.repository;
  }

  /** For a start: where the model serves, or else where the configuration says. @throws like `locate` */
  async locateForStart(model: string, signal: AbortSignal): Promise<TritonServer> {
    const server = await this.locate(model, signal);
    if (!this.elsewhere.has(model)) return server;
    const isThere =
      server === this.shared
        ? await this.isInShared(model, ASK_TIMEOUT_MS, signal)
        : (await server.glance(signal)) !== undefined;
    if (isThere) return server;
    this.elsewhere.delete(model);
    return this.of(model);
  }

  private configured(model: string): TritonServer {
    return modelGpuConfig(this.config, model).use_dedicated_server ? this.dedicatedOf(model) : this.shared;
  }

  private dedicatedOf(model: string): TritonServer {
    const existing = this.dedicated.get(model);
    if (existing) return existing;
    const name = `${this.config.container_name}_${model}`;
    const server = this.create({ name, model, ports: this.ports.of(name) });
    this.dedicated.set(model, server);
    return server;
  }

  private create(role: TritonServerRole): TritonServer {
    const { name, model } = role;
    const isIt = (labels: ServerInfo['labels']): boolean => isTritonOf(labels, model);
    const whereabouts = new Whereabouts({ name, launcher: this.launcher }, isIt, this.formers);
    return new TritonServer(role, whereabouts, this.config);
  }

  private settle(model: string, elsewhere: TritonServer | undefined): TritonServer {
    if (elsewhere) this.elsewhere.set(model, elsewhere);
    this.located.add(model);
    return this.of(model);
  }

  /** By its own word, and by the groups of ours that its configuration has there. Who does not answer has it not. */
  private async isInShared(model: string, ms: number, signal: AbortSignal): Promise<boolean> {
    const running = await this.shared.glance(signal);
    if (!running) return false;
    try {
      return await within({ ms, signal }, async (limit) => {
        const loaded = await loadedModels(running.client, limit);
        if (!loaded.some(({ name }) => name === model)) return false;
        const config = await running.client.modelConfig(model, limit);
        return config !== undefined && (await running.repository.placesOf(model, config)) !== undefined;
      });
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  /** One that this configuration would not launch. */
  private former(name: string, launcher: Launcher): TritonServer {
    const refuse = (): Promise<never> => Promise.reject(new Error(`${name} is not launched any more`));
    const whereabouts = new Whereabouts({ name, launcher }, () => true);
    return new TritonServer({ name, ports: { look: refuse, lease: refuse } }, whereabouts, this.config);
  }
}
