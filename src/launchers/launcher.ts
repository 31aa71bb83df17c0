import { DomainError } from '../common/errors.js';
import { examineAll, type Examiner } from '../common/examiner.js';
import { isReadable } from '../host/paths.js';
import { type HostPath, HostPathMissingError, pathFault, sought } from './host-paths.js';

/** What a server may see of the host's GPUs. */
export type GpuAccess =
  | { readonly kind: 'all' }
  | { readonly kind: 'none' }
  /** Device ids as the launcher's engine takes them: UUIDs, or NVML indices. */
  | { readonly kind: 'devices'; readonly ids: readonly string[] };

export interface Mount {
  readonly hostPath: string;
  readonly serverPath: string;
  readonly readOnly: boolean;
}

export interface Ulimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

/** A TCP port of the server, the same number inside and outside. */
export interface ServerPort {
  readonly name: string;
  readonly port: number;
}

/** What asks a server to end. */
export type StopSignal = 'SIGTERM' | 'SIGINT';

/** What to run. A launcher ignores what its way of running has no notion of (a process has no image). */
export interface LaunchSpec {
  /** Unique on the host: container name, or name of the process record. `[a-zA-Z0-9][a-zA-Z0-9_.-]+` */
  readonly name: string;
  /** Who owns it and what it is for; what `list` and adoption go by. */
  readonly labels: Readonly<Record<string, string>>;
  /** Docker only. */
  readonly image?: string;
  readonly pull: 'never' | 'if-missing';
  /** Docker only: replaces the image's entry point. Left out, the image's own gets `command` as its arguments. */
  readonly entrypoint?: readonly string[];
  /** Program and arguments. Never goes through a shell. */
  readonly command: readonly string[];
  /** Dotted key of the configuration that names the program: what to correct when there is none. */
  readonly programSetting?: string;
  readonly env: Readonly<Record<string, string>>;
  /** Variables that, besides those of GPUs, only `env` may set: the server inherits them from nowhere. */
  readonly withheld?: readonly string[];
  readonly ports: readonly ServerPort[];
  /** Address the ports listen on. */
  readonly bindAddress: string;
  readonly mounts: readonly Mount[];
  /** What must be on the host, and the key of each: what is mounted, and what the server reads besides. */
  readonly hostPaths?: readonly HostPath[];
  readonly gpus: GpuAccess;
  readonly shmSizeBytes?: number;
  readonly memoryBytes?: number;
  readonly ulimits: readonly Ulimit[];
  /** Time between the polite signal and the forced one. */
  readonly stopGraceSeconds: number;
  /** The polite signal; SIGTERM unless said here, or by the image. */
  readonly stopSignal?: StopSignal;
}

/** What is true of a server now. */
export interface ServerInfo {
  /** Identity that is never reused: container id, or pid with start time. */
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly running: boolean;
  /** Host pid of the main process while it runs. */
  readonly pid: number | null;
  readonly startedAt: Date | null;
  /** Of the last run, once it ended and where known; 128 + signal number when a signal ended it. */
  readonly exitCode: number | null;
  /** Why it ended, where more is known than the code ("out of memory", "ended by SIGSEGV"). */
  readonly reason?: string;
}

/** A server's main process ended, however that came about. */
export interface ServerExit {
  readonly id: string;
  readonly name: string;
  readonly exitCode: number | null;
  /** As `ServerInfo.reason`. */
  readonly reason?: string;
}

/** Whether a server reaches its GPUs: it does, nobody can tell, or it does not, in the driver's words, and which run of it. */
export type GpuSight = 'there' | 'unknown' | { readonly lost: string; readonly run?: string };

/** Progress of a launch in words ("pulling nvcr.io/…: 41 %"), for a placement's status. */
export type ProgressListener = (progress: string) => void;

/**
 * One way to run servers. Every method that waits takes a signal and ends soon after it aborts.
 * "Already stopped" and "already gone" are success.
 */
export abstract class Launcher {
  abstract readonly kind: 'docker' | 'process';

  /**
   * The checks of a launch without side effects: the engine answers, the image is there (or may be pulled),
   * the name is free or ours, the paths of the host are there, the ports are free.
   * @param examine takes them one by one; by default, strictly
   * @throws EngineUnavailableError, ImageMissingError, PortInUseError, NameTakenError, CommandMissingError,
   * HostPathMissingError
   */
  abstract check(spec: LaunchSpec, signal: AbortSignal, examine?: Examiner): Promise<void>;

  /** Those of the paths that a server could not read as what it needs, as far as can be told from here. */
  async missingPaths(paths: readonly HostPath[], _signal: AbortSignal): Promise<readonly HostPath[]> {
    const found = await Promise.all(paths.map((path) => isReadable(sought(path))));
    return paths.filter((_path, index) => found[index] !== true);
  }

  /** @throws HostPathMissingError for the first that is missing; `examine` gets one for each */
  protected requirePaths(paths: readonly HostPath[], signal: AbortSignal, examine: Examiner): Promise<void> {
    return examineAll(examine, 'paths', async () => {
      const missing = await this.missingPaths(paths, signal);
      return Promise.all(missing.map(async (path) => new HostPathMissingError(path, await pathFault(path))));
    });
  }

  /**
   * Runs the server. A dead server of ours with the same name is removed first; a live one with the same name and
   * labels is returned as it is (idempotent).
   * @throws LaunchFailedError and what `check` throws
   */
  abstract launch(spec: LaunchSpec, signal: AbortSignal, onProgress?: ProgressListener): Promise<ServerInfo>;

  /** `undefined` when there is none of that name, or it is not ours. */
  abstract inspect(name: string, signal: AbortSignal): Promise<ServerInfo | undefined>;

  /** Every server, running or dead, that carries all these labels. */
  abstract list(
    labels: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<readonly ServerInfo[]>;

  /**
   * Name of the server of ours that a process belongs to, be it the main process, a descendant, or what was started in its
   * container: by cgroup and label, or by the mark of its launch, never by its own name. `undefined`: to none.
   * @throws EngineUnavailableError when nobody can tell
   */
  abstract serverOf(pid: number, signal: AbortSignal): Promise<string | undefined>;

  /**
   * Stops it politely, with the signal it was launched for, then by force after `graceSeconds`, and removes it. Resolves
   * when its processes are gone.
   * @throws StopFailedError when something of it is still there
   */
  abstract stop(name: string, graceSeconds: number, signal: AbortSignal): Promise<void>;

  /** The last lines of its output, oldest first; empty when there is nothing to read. */
  abstract logs(name: string, tail: number, signal: AbortSignal): Promise<readonly string[]>;

  /** Calls `listener` at every exit of a server of ours. Returns the unsubscribe function. */
  abstract onExit(listener: (exit: ServerExit) => void): () => void;

  /** How the run with this id ended, if that was seen a short while ago; it may have been replaced since. */
  exitOf(_id: string): ServerExit | undefined {
    return undefined;
  }

  /** In words, where the run with this id has hit a limit of its memory lately, whether or not it has ended of that. */
  outOfMemory(_id: string): string | undefined {
    return undefined;
  }

  /**
   * Asks inside a server of ours whether it reaches its GPUs. An answer that others got up to `maxAgeMs` ago will do. Only
   * what can lose them tells: a container.
   * @throws EngineUnavailableError
   */
  gpuSight(_name: string, _maxAgeMs: number, _signal: AbortSignal): Promise<GpuSight> {
    return Promise.resolve('unknown');
  }

  /** Ends streams and timers. Servers go on. */
  abstract close(): Promise<void>;
}

/** Label that marks everything this service launches; its value is the service instance (`instance_name`). */
export const OWNER_LABEL = 'model-inference-client.owner';
/** Label with the server's purpose, set by the runner: the backend's name. */
export const BACKEND_LABEL = 'model-inference-client.backend';
/** Label with the model of a server that serves just one. */
export const MODEL_LABEL = 'model-inference-client.model';

export class EngineUnavailableError extends DomainError {
  readonly code = 'DOCKER_UNAVAILABLE';
  readonly kind = 'internal';
  override readonly retry = 'always';
}

export class EngineTooOldError extends DomainError {
  readonly code = 'DOCKER_TOO_OLD';
  readonly kind = 'internal';
}

export class ImageMissingError extends DomainError {
  readonly code = 'IMAGE_MISSING';
  readonly kind = 'internal';
}

export class CommandMissingError extends DomainError {
  readonly code = 'COMMAND_MISSING';
  readonly kind = 'internal';
}

export class PortInUseError extends DomainError {
  readonly code = 'PORT_IN_USE';
  readonly kind = 'internal';
  override readonly retry = 'bounded';
}

export class NameTakenError extends DomainError {
  readonly code = 'NAME_TAKEN';
  readonly kind = 'internal';
}

export class LaunchFailedError extends DomainError {
  readonly code = 'LAUNCH_FAILED';
  readonly kind = 'internal';
}

export class StopFailedError extends DomainError {
  readonly code = 'STOP_FAILED';
  readonly kind = 'internal';
}
