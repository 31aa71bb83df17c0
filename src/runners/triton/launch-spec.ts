import { bytesOf } from '../../config/sections/common.js';
import {
  BACKEND_LABEL,
  type GpuAccess,
  type LaunchSpec,
  MODEL_LABEL,
  type Mount,
} from '../../launchers/launcher.js';
import { labelledLaunch } from '../launch-aspects.js';
import { itemsOf, programPaths } from '../program-paths.js';
import { settingsLabel } from '../launched-as.js';
import type { VisibleGpus } from '../visible-gpus.js';
import { repositoryPath } from './model-repository.js';
import { TRITON_DECIDED_VARIABLES } from './triton-flags.js';
import type { TritonConfig } from './triton-section.js';

export const TRITON = 'triton';
const COMMAND_KEY = 'runners.triton.command';

/** Port numbers of a server, kept in its labels so that it is found again whatever the configuration says by then. */
export interface TritonPorts {
  readonly http: number;
  readonly grpc: number;
  readonly metrics: number;
}

const PORT_LABELS = {
  http: 'model-inference-client.triton.http-port',
  grpc: 'model-inference-client.triton.grpc-port',
  metrics: 'model-inference-client.triton.metrics-port',
} as const satisfies Record<keyof TritonPorts, string>;

/** Slack over Triton's own exit timeout before it is ended by force, seconds. */
const STOP_SLACK_SECONDS = 5;
const REPOSITORY_IN_CONTAINER = '/models';
const RUNTIME_IN_CONTAINER = '/runtime';

/** A Triton server to be: the shared one, or one for a single model. */
export interface TritonServerIdentity {
  readonly name: string;
  readonly ports: TritonPorts;
  /** The one model of a dedicated server. */
  readonly model?: string;
}

/** What a server to be is given of the GPUs, and what it will see of them. */
export interface TritonGpus {
  readonly access: GpuAccess;
  readonly visible: VisibleGpus;
}

/** What those go by who talk to a server, or write what it reads. */
export interface TritonSettings extends Readonly<Record<string, string>> {
  readonly bind_address: string;
  readonly model_repository_host_path: string;
}

/** Of a launch of now. */
export function tritonSettings(config: TritonConfig): TritonSettings {
  const { bind_address, model_repository_host_path } = config;
  return { bind_address, model_repository_host_path };
}

export function stopGraceSeconds(config: TritonConfig): number {
  return config.exit_timeout_seconds + STOP_SLACK_SECONDS;
}

/**
 * Command line, mounts and limits of a Triton server.
 * Source: `tritonserver --help` (25.04), and the Engine's limits as in `config/default.yaml`.
 */
export function tritonLaunchSpec(
  config: TritonConfig,
  identity: TritonServerIdentity,
  { access: gpus, visible }: TritonGpus,
): LaunchSpec {
  const inContainer = config.launcher === 'docker';
  const { ports } = identity;
  const mounts: Mount[] = [
    {
      hostPath: config.model_repository_host_path,
      serverPath: REPOSITORY_IN_CONTAINER,
      readOnly: config.model_repository_read_only,
    },
  ];
  if (config.runtime_host_path !== null) {
    mounts.push({ hostPath: config.runtime_host_path, serverPath: RUNTIME_IN_CONTAINER, readOnly: true });
  }
  // Inside a container every address is right: the Engine publishes the ports on bind_address alone.
  const addresses = inContainer
    ? []
    : ['http', 'grpc', 'metrics'].map((protocol) => `--${protocol}-address=${config.bind_address}`);
  const spec: LaunchSpec = {
    name: identity.name,
    labels: {
      [BACKEND_LABEL]: TRITON,
      ...(identity.model !== undefined && { [MODEL_LABEL]: identity.model }),
      [PORT_LABELS.http]: String(ports.http),
      [PORT_LABELS.grpc]: String(ports.grpc),
      [PORT_LABELS.metrics]: String(ports.metrics),
      ...settingsLabel(tritonSettings(config)),
    },
    image: config.image_name,
    pull: config.pull,
    command: [
      ...config.command,
      `--model-repository=${inContainer ? REPOSITORY_IN_CONTAINER : config.model_repository_host_path}`,
      '--model-control-mode=explicit',
      `--http-port=${ports.http}`,
      `--grpc-port=${ports.grpc}`,
      `--metrics-port=${ports.metrics}`,
      ...addresses,
      `--exit-timeout-secs=${config.exit_timeout_seconds}`,
      ...config.extra_args,
    ],
    programSetting: COMMAND_KEY,
    env: config.env,
    withheld: Object.keys(TRITON_DECIDED_VARIABLES),
    ports: [
      { name: 'http', port: ports.http },
      { name: 'grpc', port: ports.grpc },
      { name: 'metrics', port: ports.metrics },
    ],
    bindAddress: config.bind_address,
    mounts,
    hostPaths: [
      repositoryPath(config.model_repository_host_path),
      ...(config.runtime_host_path === null
        ? []
        : [
            {
              path: config.runtime_host_path,
              setting: 'runners.triton.runtime_host_path',
              isDirectory: true,
            },
          ]),
      ...(inContainer ? [] : programPaths(itemsOf(config.command, COMMAND_KEY))),
    ],
    gpus,
    shmSizeBytes: bytesOf(config.shm_size),
    ...(config.memory_limit !== null && { memoryBytes: bytesOf(config.memory_limit) }),
    ulimits: config.ulimits,
    stopGraceSeconds: stopGraceSeconds(config),
  };
  return labelledLaunch(spec, visible, config.launcher);
}

/** The ports a server was launched with; `undefined` when its labels do not tell. */
export function portsOf(labels: Readonly<Record<string, string>>): TritonPorts | undefined {
  const [http, grpc, metrics] = [PORT_LABELS.http, PORT_LABELS.grpc, PORT_LABELS.metrics].map((label) =>
    Number(labels[label]),
  );
  return http && grpc && metrics ? { http, grpc, metrics } : undefined;
}

/** Whether a server with these labels is the Triton of this model alone; without a model, the shared one. */
export function isTritonOf(labels: Readonly<Record<string, string>>, model: string | undefined): boolean {
  return labels[BACKEND_LABEL] === TRITON && labels[MODEL_LABEL] === model;
}
