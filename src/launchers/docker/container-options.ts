import type { ContainerCreateOptions, DeviceRequest, HostConfig } from 'dockerode';
import { GPU_VARIABLES } from '../gpu-variables.js';
import { type GpuAccess, type LaunchSpec, OWNER_LABEL } from '../launcher.js';

/** Enough for a traceback of every worker, and no full disk. */
const LOG_CONFIG = { Type: 'json-file', Config: { 'max-size': '20m', 'max-file': '2' } };

function deviceRequests(gpus: GpuAccess): DeviceRequest[] {
  const Capabilities = [['gpu']];
  switch (gpus.kind) {
    case 'all':
      return [{ Count: -1, Capabilities }];
    case 'devices':
      return [{ DeviceIDs: [...gpus.ids], Capabilities }];
    case 'none':
      return [];
  }
}

function gpuVariables(gpus: GpuAccess): Record<string, string> {
  // Images say NVIDIA_VISIBLE_DEVICES=all, which counts where NVIDIA's runtime is the Engine's default.
  return gpus.kind === 'none' ? { NVIDIA_VISIBLE_DEVICES: 'void' } : { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' };
}

function hostConfig(spec: LaunchSpec): HostConfig {
  const HostIp = spec.bindAddress === 'localhost' ? '127.0.0.1' : spec.bindAddress;
  return {
    PortBindings: Object.fromEntries(
      spec.ports.map(({ port }) => [`${port}/tcp`, [{ HostIp, HostPort: String(port) }]]),
    ),
    // Mounts, not Binds: those would make a missing host directory, owned by root and empty.
    Mounts: spec.mounts.map((mount) => ({
      Type: 'bind',
      Source: mount.hostPath,
      Target: mount.serverPath,
      ReadOnly: mount.readOnly,
    })),
    DeviceRequests: deviceRequests(spec.gpus),
    Ulimits: spec.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
    LogConfig: LOG_CONFIG,
    // The supervisor decides about restarts, and a dead container keeps its last lines until they are read.
    RestartPolicy: { Name: 'no' },
    AutoRemove: false,
    // Reaps what backends leave behind, and passes signals on to programs that are no init.
    Init: true,
    ...(spec.shmSizeBytes !== undefined && { ShmSize: spec.shmSizeBytes }),
    ...(spec.memoryBytes !== undefined && { Memory: spec.memoryBytes }),
  };
}

/** What an image may say of GPUs: the Engine replaces it by what a container gets. */
const ENGINES_OWN = 'NVIDIA_VISIBLE_DEVICES';

/** Those of an image's variables that would decide beside this service; without "=", the Engine takes them out. */
function withheldFrom(
  image: readonly string[],
  { withheld = [] }: LaunchSpec,
  given: Readonly<Record<string, string>>,
): string[] {
  const names = new Set<string>([...GPU_VARIABLES, ...withheld]);
  return image.filter((name) => names.has(name) && name !== ENGINES_OWN && !Object.hasOwn(given, name));
}

/** What the Engine is asked to create for `spec`. */
export function containerOptions(
  spec: LaunchSpec,
  image: string,
  imageVariables: readonly string[],
  owner: string,
): ContainerCreateOptions {
  const environment = { ...gpuVariables(spec.gpus), ...spec.env };
  return {
    name: spec.name,
    Image: image,
    ...(spec.entrypoint !== undefined && { Entrypoint: [...spec.entrypoint] }),
    Cmd: [...spec.command],
    Env: [
      ...Object.entries(environment).map(([key, value]) => `${key}=${value}`),
      ...withheldFrom(imageVariables, spec, environment),
    ],
    Labels: { ...spec.labels, [OWNER_LABEL]: owner },
    ExposedPorts: Object.fromEntries(spec.ports.map(({ port }) => [`${port}/tcp`, {}])),
    // For a `docker stop` by hand, too.
    StopTimeout: Math.ceil(spec.stopGraceSeconds),
    ...(spec.stopSignal !== undefined && { StopSignal: spec.stopSignal }),
    HostConfig: hostConfig(spec),
  };
}
