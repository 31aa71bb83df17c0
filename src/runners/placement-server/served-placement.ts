import type { DomainError } from '../../common/errors.js';
import type { LaunchSpec } from '../../launchers/launcher.js';
import type { DeploymentOptions, GpuRef } from '../deployment.js';
import type { LaunchSettings } from '../launched-as.js';
import type { ServerPorts } from './server-ports.js';

/** Those of every server with one placement; a backend adds its own (`settingsOf`). */
export type ServerSettings = LaunchSettings & {
  readonly bind_address: string;
  readonly device: 'gpu' | 'cpu';
};

/** One model on the GPUs that one server has for it; the server runs, or is to be launched. */
export interface ServedPlacement<Options extends DeploymentOptions = DeploymentOptions> {
  readonly modelName: string;
  /** Number of the placement, in the name of its server: no other of its model has it. */
  readonly gpuId: number;
  /** NVML indices at the launch of all GPUs it holds, the one it was started on first; what the server is pinned to. */
  readonly gpuIds: readonly number[];
  /** The same, with their UUIDs where they were known at the launch. */
  readonly gpus: readonly GpuRef[];
  readonly options: Options;
  /** TCP port of the server, the same inside and outside of a container. */
  readonly port: number;
  /** All its ports by name: that one, and those that its model names. */
  readonly ports: ServerPorts;
  /** What it was launched with, as far as those who talk to it go by that. */
  readonly settings: ServerSettings;
  /** Address the server has to listen on. */
  readonly listenAddress: string;
  /** Where this service reaches it: `http://127.0.0.1:8200`. */
  readonly baseUrl: string;
}

/**
 * What a backend says of its program. Name, labels, port, GPUs and stop are the base's; what is left out here is as
 * the backend's configuration section has it. `env` is laid over the section's.
 */
export type ServerProgram = Pick<LaunchSpec, 'command'> &
  Partial<
    Pick<
      LaunchSpec,
      | 'image'
      | 'pull'
      | 'entrypoint'
      | 'env'
      | 'programSetting'
      | 'mounts'
      | 'hostPaths'
      | 'shmSizeBytes'
      | 'memoryBytes'
      | 'ulimits'
      | 'stopSignal'
    >
  > & {
    /**
     * `command` without what the backend adds by what it has learned of the installation: that may differ from run to run, and a
     * server is not outdated by it. Left out: all of it.
     */
    readonly configuredCommand?: readonly string[];
  };

/** What a server says of itself. `failed` is final: it runs, and will never serve what was asked for. */
export type ProbeResult =
  | {
      readonly state: 'ready';
      /** Whether it sleeps, where it says so. */
      readonly sleeping?: boolean | undefined;
    }
  | { readonly state: 'starting'; readonly reason?: string }
  | { readonly state: 'failed'; readonly error: DomainError };

/** For the last chance before the polite stop. */
export interface BeforeStop {
  /** What is left of the drain, ms: for so long, requests under way may hold up the end of the server. */
  readonly patienceMs: number;
  /** Aborts when its time is over or the stop is not wanted any more. */
  readonly signal: AbortSignal;
}
