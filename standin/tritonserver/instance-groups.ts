import { type InstanceGroup, isEnsemble, type ModelConfig } from './model-config.js';
import { TritonError } from './triton-error.js';

const MIN_COMPUTE_CAPABILITY = '6.000000';

/** One execution instance: `MAM_0_1` on GPU 2. */
export interface Instance {
  name: string;
  device: string;
}

/** Fills in what an instance group leaves out, as Triton does before it loads a model. */
export function completeInstanceGroups(config: ModelConfig, visibleGpus: readonly number[]): ModelConfig {
  if (isEnsemble(config)) return config;
  const given = config.instance_group;
  const groups = given.length > 0 ? given : [emptyGroup(config.name)];
  return {
    ...config,
    instance_group: groups.map((group, index) => {
      const kind = group.kind === 'KIND_AUTO' ? automaticKind(group, visibleGpus) : group.kind;
      return {
        ...group,
        name: group.name || `${config.name}_${index}`,
        kind,
        count: Math.max(group.count, 1),
        gpus: kind === 'KIND_GPU' && group.gpus.length === 0 ? [...visibleGpus] : group.gpus,
      };
    }),
  };
}

/** Refuses groups that this host can't run, in Triton's words. Throws TritonError. */
export function checkInstanceGroups(config: ModelConfig, visibleGpus: readonly number[]): void {
  for (const group of config.instance_group) {
    const subject = `instance group ${group.name} of model ${config.name}`;
    if (group.kind === 'KIND_MODEL') continue;
    if (group.kind === 'KIND_CPU') {
      if (group.gpus.length === 0) continue;
      throw new TritonError('INVALID_ARG', `${subject} has kind KIND_CPU but specifies one or more GPUs`);
    }
    if (group.gpus.length === 0) {
      throw new TritonError('INVALID_ARG', `${subject} has kind KIND_GPU but no GPUs are available`);
    }
    const unknown = group.gpus.find((gpu) => !visibleGpus.includes(gpu));
    if (unknown === undefined) continue;
    throw new TritonError(
      'INVALID_ARG',
      `${subject} specifies invalid or unsupported gpu id ${unknown}. GPUs with at least the minimum ` +
        `required CUDA compute compatibility of ${MIN_COMPUTE_CAPABILITY} are: ${visibleGpus.join(', ')}`,
    );
  }
}

/** The instances a configuration asks for, with Triton's names. */
export function instancesOf(config: ModelConfig): Instance[] {
  return config.instance_group.flatMap((group) => {
    const devices =
      group.kind === 'KIND_GPU' ? group.gpus.map((gpu) => `GPU device ${gpu}`) : ['CPU device 0'];
    const perDevice = Array.from({ length: group.count }, (_, index) => index);
    return devices.flatMap((device) =>
      perDevice.map((index) => ({ name: `${group.name}_${index}`, device: device })),
    );
  });
}

function automaticKind(group: InstanceGroup, visibleGpus: readonly number[]): 'KIND_GPU' | 'KIND_CPU' {
  return visibleGpus.length > 0 || group.gpus.length > 0 ? 'KIND_GPU' : 'KIND_CPU';
}

function emptyGroup(name: string): InstanceGroup {
  return {
    name,
    kind: 'KIND_AUTO',
    count: 1,
    gpus: [],
    secondary_devices: [],
    profile: [],
    passive: false,
    host_policy: '',
  };
}
