import { foundBy, strictly } from '../../common/examiner.js';
import { containerIdOf } from '../../host/container-id.js';
import { isBehindLink, isMissing } from '../../host/paths.js';
import { requireAddress } from '../bind-address.js';
import { ExitListeners } from '../exit-listeners.js';
import {
  type GpuSight,
  Launcher,
  LaunchFailedError,
  type LaunchSpec,
  type ProgressListener,
  type ServerExit,
  type ServerInfo,
} from '../launcher.js';
import { type HostPath, sought } from '../host-paths.js';
import { NameLocks } from '../name-locks.js';
import { lastLines, MAX_TAIL_LINES } from '../output-text.js';
import { isServerName, requireServerName } from '../server-name.js';
import { demultiplex } from './container-logs.js';
import { ContainerStart } from './container-start.js';
import { ContainerStop } from './container-stop.js';
import { Containers, serverInfoOf } from './containers.js';
import { requirePorts } from './docker-ports.js';
import { requireApiVersion } from './api-version.js';
import { Engine } from './engine.js';
import { ExitStream } from './exit-stream.js';
import { findImage, imageOf, pullImage } from './image-pull.js';
import { GpuSights } from './gpu-sight.js';
import { requireGpuToolkit } from './gpu-toolkit.js';
import { HostView } from './host-view.js';

export interface DockerLauncherOptions {
  readonly socketPath: string;
  /** Value of OWNER_LABEL: containers without it are never touched. */
  readonly owner: string;
  readonly requestTimeoutMs: number;
  readonly pullTimeoutMs: number;
}

/** Runs servers as containers of the Docker Engine of this host. */
export class DockerLauncher extends Launcher {
  readonly kind = 'docker';

  private readonly engine: Engine;
  private readonly containers: Containers;
  private readonly starts: ContainerStart;
  private readonly stops: ContainerStop;
  private readonly exits: ExitStream;
  private readonly hostView: HostView;
  private readonly sights: GpuSights;
  private readonly locks = new NameLocks();
  private readonly listeners = new ExitListeners();

  constructor(private readonly options: DockerLauncherOptions) {
    super();
    this.engine = new Engine(options);
    this.containers = new Containers(this.engine, options.owner);
    this.sights = new GpuSights(this.engine);
    this.hostView = new HostView(this.containers, options.socketPath);
    this.stops = new ContainerStop(this.engine);
    this.starts = new ContainerStart(this.engine, this.containers, this.stops, options.owner);
    this.exits = new ExitStream(this.engine, this.containers, options.owner, this.listeners);
  }

  async check(spec: LaunchSpec, signal: AbortSignal, examine = strictly): Promise<void> {
    signal.throwIfAborted();
    requireServerName(spec.name);
    const paths = (): Promise<void> => this.requirePaths(spec.hostPaths ?? [], signal, examine);
    const occupant = await foundBy(
      examine,
      'name',
      () => this.containers.occupantOf(spec, signal),
      undefined,
    );
    // Without the Engine, paths are all that can be told.
    if (!occupant) return paths();
    if (occupant.live) return;
    await examine('image', () => findImage(this.engine, spec, signal));
    await paths();
    if (spec.gpus.kind !== 'none') {
      await examine('toolkit', () => requireGpuToolkit(this.engine, this.hostView, signal), 'hint');
    }
    await examine('ports', async () => {
      // In a container of its own, this service does not see the host's addresses: there, the Engine's refusal tells.
      if (await this.hostView.isShared(signal)) await requireAddress(spec);
      await requirePorts(this.engine, spec, signal);
    });
  }

  /** The Engine reads as root, and reads what this service may not see: only what nothing has is missing. */
  override async missingPaths(paths: readonly HostPath[], signal: AbortSignal): Promise<readonly HostPath[]> {
    const looks = await Promise.all(
      paths.map(async (path) => (await isMissing(sought(path))) && !(await isBehindLink(path.path))),
    );
    const missing = paths.filter((_path, index) => looks[index] === true);
    return missing.length > 0 && (await this.hostView.isShared(signal)) ? missing : [];
  }

  async launch(spec: LaunchSpec, signal: AbortSignal, onProgress?: ProgressListener): Promise<ServerInfo> {
    requireServerName(spec.name);
    return this.locks.run(spec.name, signal, async () => {
      const { live, dead } = await this.containers.occupantOf(spec, signal);
      if (live) return this.exits.told(live);
      const image = imageOf(spec);
      let facts = await findImage(this.engine, spec, signal);
      if (!facts) {
        await pullImage(this.engine, image, { limitMs: this.options.pullTimeoutMs, signal, onProgress });
        facts = await findImage(this.engine, spec, signal);
      }
      if (dead) await this.stops.stop(dead.Id, spec.name, 0, signal);
      await requirePorts(this.engine, spec, signal);
      const id = await this.starts.run(spec, image, facts?.variables ?? [], signal);
      const started = await this.containers.findOurs(spec.name, signal);
      if (started?.Id === id) return this.exits.told(started);
      throw new LaunchFailedError(`Container ${spec.name} was removed right after its start`, {
        name: spec.name,
      });
    });
  }

  async inspect(name: string, signal: AbortSignal): Promise<ServerInfo | undefined> {
    if (!isServerName(name)) return undefined;
    const found = await this.containers.findOurs(name, signal);
    return found && this.exits.told(found);
  }

  async list(labels: Readonly<Record<string, string>>, signal: AbortSignal): Promise<readonly ServerInfo[]> {
    const found = await this.containers.list(labels, signal);
    return found.map((container) => this.exits.told(container));
  }

  async serverOf(pid: number, signal: AbortSignal): Promise<string | undefined> {
    const id = await containerIdOf(pid);
    const container = id === undefined ? undefined : await this.container(id, signal);
    return container?.isOurs === true ? container.name : undefined;
  }

  /** Any container of this host, by its id. @throws EngineUnavailableError */
  async container(
    id: string,
    signal: AbortSignal,
  ): Promise<{ readonly name: string; readonly isOurs: boolean } | undefined> {
    const found = await this.containers.findById(id, signal);
    return found && { name: serverInfoOf(found).name, isOurs: this.containers.isOurs(found) };
  }

  async stop(name: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    if (!isServerName(name)) return;
    await this.locks.run(name, signal, async () => {
      const found = await this.containers.findOurs(name, signal);
      if (found) await this.stops.stop(found.Id, name, graceSeconds, signal);
    });
  }

  async logs(name: string, tail: number, signal: AbortSignal): Promise<readonly string[]> {
    if (!isServerName(name) || tail <= 0) return [];
    const found = await this.containers.findOurs(name, signal);
    if (!found) return [];
    const output = await this.engine.find(signal, (docker, abortSignal) =>
      docker.getContainer(found.Id).logs({
        stdout: true,
        stderr: true,
        follow: false,
        tail: Math.min(tail, MAX_TAIL_LINES),
        abortSignal,
      }),
    );
    return Buffer.isBuffer(output) ? lastLines(demultiplex(output), tail) : [];
  }

  /** @throws EngineUnavailableError; EngineTooOldError */
  async requireEngine(signal: AbortSignal): Promise<void> {
    await requireApiVersion(this.engine, signal);
  }

  onExit(listener: (exit: ServerExit) => void): () => void {
    this.exits.open();
    return this.listeners.add(listener);
  }

  override exitOf(id: string): ServerExit | undefined {
    return this.listeners.exitOf(id);
  }

  override outOfMemory(id: string): string | undefined {
    return this.exits.memory.wordsOf(id);
  }

  override async gpuSight(name: string, maxAgeMs: number, signal: AbortSignal): Promise<GpuSight> {
    if (!isServerName(name)) return 'unknown';
    const found = await this.containers.findOurs(name, signal);
    return found?.State.Running === true ? this.sights.ask(found.Id, maxAgeMs, signal) : 'unknown';
  }

  async close(): Promise<void> {
    this.listeners.clear();
    await this.exits.close();
  }
}
