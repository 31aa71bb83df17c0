import type { ContainerInspectInfo } from 'dockerode';
import { type LaunchSpec, NameTakenError, OWNER_LABEL, type ServerInfo } from '../launcher.js';
import { carries } from '../server-name.js';
import type { Engine } from './engine.js';
import { outOfMemory } from './memory-limits.js';

const OUR_LABELS = 'model-inference-client.';

/** Why a container ended, where that can be told. */
export function reasonOf(end: {
  /** In words, where that ended it. */
  readonly oom: string | undefined;
  readonly exitCode: number | null;
  readonly error?: string;
}): string | undefined {
  if (end.oom !== undefined) return end.oom;
  if (end.error !== undefined && end.error !== '') return end.error;
  // By the convention of shells, which docker-init follows: it is what fails to run the command, not the Engine.
  if (end.exitCode === 127) return 'command not found';
  if (end.exitCode === 126) return 'command not executable';
  return undefined;
}

/** What the Engine says about a container, in the words of the Launcher contract. */
export function serverInfoOf(container: ContainerInspectInfo): ServerInfo {
  const { State: state } = container;
  const running = state.Running;
  // A container that was created and never started has the year 1.
  const startedAt = new Date(state.StartedAt);
  const started = startedAt.getUTCFullYear() > 1;
  const exitCode = running || !started ? null : state.ExitCode;
  const oom = state.OOMKilled ? outOfMemory(container.HostConfig.Memory ?? 0) : undefined;
  const reason = running ? undefined : reasonOf({ oom, exitCode, error: state.Error });
  return {
    id: container.Id,
    name: container.Name.replace(/^\//, ''),
    labels: { ...container.Config.Labels },
    running,
    pid: running && state.Pid > 0 ? state.Pid : null,
    startedAt: started ? startedAt : null,
    exitCode,
    ...(reason !== undefined && { reason }),
  };
}

/** Finds containers by name, and tells ours from others'. */
export class Containers {
  constructor(
    private readonly engine: Engine,
    private readonly owner: string,
  ) {}

  /** The container of that name, whoever owns it. */
  async find(name: string, signal: AbortSignal): Promise<ContainerInspectInfo | undefined> {
    const found = await this.findById(name, signal);
    // The Engine also takes a name for the beginning of an id.
    return found?.Name === `/${name}` ? found : undefined;
  }

  findById(id: string, signal: AbortSignal): Promise<ContainerInspectInfo | undefined> {
    return this.engine.find(signal, (docker, abortSignal) =>
      docker.getContainer(id).inspect({ abortSignal }),
    );
  }

  /** Our container of that name. */
  async findOurs(name: string, signal: AbortSignal): Promise<ContainerInspectInfo | undefined> {
    const found = await this.find(name, signal);
    return found && this.isOurs(found) ? found : undefined;
  }

  /** Ours that carry all these labels, the dead included. */
  async list(
    labels: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<readonly ContainerInspectInfo[]> {
    const label = Object.entries({ ...labels, [OWNER_LABEL]: labels[OWNER_LABEL] ?? this.owner }).map(
      ([key, value]) => `${key}=${value}`,
    );
    const listed = await this.engine.call(signal, (docker, abortSignal) =>
      docker.listContainers({ all: true, filters: { label }, abortSignal }),
    );
    const found = await Promise.all(listed.map(({ Id }) => this.findById(Id, signal)));
    return found.filter((container) => container !== undefined).filter((container) => this.isOurs(container));
  }

  /**
   * What has the name of `spec`: a live server that is what `spec` asks for, a dead one of ours that may be removed, or
   * nothing.
   * @throws NameTakenError for anything else
   */
  async occupantOf(
    spec: LaunchSpec,
    signal: AbortSignal,
  ): Promise<{ readonly live?: ContainerInspectInfo; readonly dead?: ContainerInspectInfo }> {
    const found = await this.find(spec.name, signal);
    if (!found) return {};
    if (!this.isOurs(found)) {
      throw new NameTakenError(
        `The container name ${spec.name} is taken by a container that is not this service's (${found.Id.slice(0, 12)}): ` +
          `remove it (\`docker rm -f ${spec.name}\`), or configure another name`,
        { name: spec.name, containerId: found.Id },
      );
    }
    if (!found.State.Running) return { dead: found };
    if (this.isFor(found, spec)) return { live: found };
    throw new NameTakenError(
      `The container name ${spec.name} is taken by a running server with other labels (${found.Id.slice(0, 12)}): ` +
        `stop it, or configure another name`,
      { name: spec.name, containerId: found.Id, labels: found.Config.Labels },
    );
  }

  isOurs(container: ContainerInspectInfo): boolean {
    return container.Config.Labels[OWNER_LABEL] === this.owner;
  }

  /** Labels of the image are among the container's, so only those of our own kind must be the same set. */
  private isFor(container: ContainerInspectInfo, spec: LaunchSpec): boolean {
    const wanted = { ...spec.labels, [OWNER_LABEL]: this.owner };
    const ours = Object.entries(container.Config.Labels).filter(([key]) => key.startsWith(OUR_LABELS));
    return carries(container.Config.Labels, wanted) && carries(wanted, Object.fromEntries(ours));
  }
}
