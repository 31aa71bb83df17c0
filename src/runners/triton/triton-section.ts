import * as z from 'zod';
import { variableFaults } from '../decided.js';
import { serverEnv } from '../placement-server/placement-server-section.js';
import { TRITON_DECIDED_VARIABLES, tritonArgumentFaults } from './triton-flags.js';
import {
  bindAddress,
  hostPath,
  byteSize,
  drainSeconds,
  gpuMemoryMb,
  gpuPolicy,
  modelLiveness,
  safeName,
  tcpPort,
  whenValid,
} from '../../config/sections/common.js';

/** Where the instances of a model run. */
const instanceKind = z.enum(['gpu', 'cpu', 'model', 'auto']);

export type InstanceKind = z.infer<typeof instanceKind>;

const modelGpuConfig = z.strictObject({
  instances_per_gpu: z.int().min(1).max(256).optional().describe('Execution instances on each GPU.'),
  kind: instanceKind
    .optional()
    .describe(
      'Where instances run: gpu (default), cpu, model (the model chooses: KIND_MODEL), or auto (Triton chooses, and how many).',
    ),
  use_dedicated_server: z.boolean().optional().describe('Serve the model from a Triton of its own.'),
  drain_seconds: drainSeconds.describe(
    'Time requests get to be worked off before a stop of the model; a request for a stop can say other.',
  ),
  gpu_memory_mb: gpuMemoryMb.describe(
    'Memory one placement takes on its GPU, MiB; a start that does not fit is refused.',
  ),
  gpu_policy: gpuPolicy.optional().describe('exclusive: the model has its GPU to itself.'),
  liveness: modelLiveness.describe('How long the requests of the model may take.'),
});

/** `gpus` as the seed has it (`all`), one list of NVML indices or UUIDs (`device=0,2`), or `none`. */
const gpuSelection = z
  .string()
  .regex(
    /^(all|none|device=[A-Za-z0-9-]+(,[A-Za-z0-9-]+)*)$/,
    'all, none, or device=0,2 (NVML indices or UUIDs)',
  );

const ulimit = z.strictObject({
  name: z.string().regex(/^[a-z]+$/),
  soft: z.int().min(-1),
  hard: z.int().min(-1),
});

const argumentsAndEnv = z.object({
  command: z.array(z.string()),
  extra_args: z.array(z.string()),
  env: z.record(z.string(), z.unknown()),
});

export const tritonSection = z
  .strictObject({
    enabled: z.boolean().describe('Offer this backend.'),
    launcher: z.enum(['docker', 'process']).describe('How servers run.'),
    image_name: z.string().min(1).describe('Image of the container (docker).'),
    pull: z.enum(['never', 'if-missing']).describe('What to do when the image is not on the host (docker).'),
    command: z
      .array(z.string().min(1))
      .min(1)
      .describe("The program and its first arguments; Triton's own flags are appended."),
    container_name: safeName
      .min(2)
      .describe('Name of the shared server; a dedicated one appends "_" and its model.'),
    model_repository_host_path: hostPath.describe('The model repository on the host.'),
    model_repository_read_only: z.boolean().describe('Mount the model repository read-only (docker).'),
    runtime_host_path: hostPath
      .nullable()
      .describe(
        'Directory mounted read-only at /runtime, for environments and libraries of models; null for none.',
      ),
    bind_address: bindAddress.describe(
      "Address Triton's ports listen on. Anything but a loopback address needs server.trusted_network.",
    ),
    http_port: tcpPort.describe('HTTP port of the shared server.'),
    grpc_port: tcpPort.describe('gRPC port of the shared server.'),
    metrics_port: tcpPort.describe('Metrics port of the shared server.'),
    dedicated_ports: z
      .strictObject({ from: tcpPort, to: tcpPort })
      .refine((range) => range.to - range.from >= 2, 'a range of at least three ports')
      .describe(
        'Ports for dedicated servers, three each. Keep below 32768, where outgoing connections start.',
      ),
    shm_size: byteSize.describe('Shared memory of the container.'),
    memory_limit: byteSize.nullable().describe('Memory limit of the container; null for none.'),
    ulimits: z.array(ulimit).describe('Limits of the container.'),
    gpus: gpuSelection.describe(
      'GPUs a container sees: all, device=0,2 (NVML indices or UUIDs), or none (CPU).',
    ),
    env: serverEnv.describe('Environment of the server.'),
    extra_args: z.array(z.string()).describe('Further flags of tritonserver, one list item each.'),
    api_timeout_seconds: z
      .number()
      .min(0.1)
      .max(86_400)
      .describe('Longest time a load or an unload may take.'),
    server_start_timeout_seconds: z
      .number()
      .min(0.1)
      .max(3600)
      .describe('Longest time from launch to a live server.'),
    exit_timeout_seconds: z
      .int()
      .min(0)
      .max(600)
      .describe('Time Triton gives requests in flight when it ends.'),
    recycle_held_mb: z
      .int()
      .min(1)
      .max(16_777_216)
      .nullable()
      .describe(
        'What the shared server may still hold of a GPU after a model was stopped there (held_mb of the answer), less what its other models need there, MiB; with more, it is ended and started anew when it is idle. null: never.',
      ),
    model_gpu_configs: z
      .record(safeName, modelGpuConfig)
      .refine((configs) => 'default' in configs, 'needs an entry "default"')
      .describe('Per model; "default" holds what a model does not say itself.'),
    supported_models: z.array(safeName).describe('The models of this backend.'),
  })
  .refine((triton) => new Set([triton.http_port, triton.grpc_port, triton.metrics_port]).size === 3, {
    ...whenValid(z.object({ http_port: tcpPort, grpc_port: tcpPort, metrics_port: tcpPort })),
    path: ['http_port'],
    message: 'http_port, grpc_port and metrics_port must differ',
  })
  .superRefine(({ command, extra_args: args, env }, context) => {
    const faults = [
      ...tritonArgumentFaults(command).map((fault) => ({ ...fault, of: 'command' })),
      ...tritonArgumentFaults(args).map((fault) => ({ ...fault, of: 'extra_args' })),
      ...variableFaults(env, TRITON_DECIDED_VARIABLES).map((fault) => ({ ...fault, of: 'env' })),
    ];
    for (const { of, key, message } of faults) {
      context.addIssue({ code: 'custom', path: [of, key], message });
    }
  }, whenValid(argumentsAndEnv));

export type TritonConfig = z.infer<typeof tritonSection>;
