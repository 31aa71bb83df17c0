import { type ServiceSettings, TestService } from './service.js';

export const TRITON_IMAGE = process.env.MIC_REAL_TRITON_IMAGE ?? 'nvcr.io/nvidia/tritonserver:25.04-py3';

/**
 * The service over real Triton in containers of a real Engine; GPUs are simulated, instances run on the CPU. Not booted
 * yet. What it launches is labelled with its `instanceName`.
 */
export async function createRealTriton(
  triton: Record<string, unknown> = {},
  config: Record<string, unknown> = {},
  settings: Pick<ServiceSettings, 'runners' | 'env'> = {},
): Promise<TestService> {
  const service = await TestService.create({
    process: true,
    ...settings,
    repository: 'test/real/models',
    triton: {
      launcher: 'docker',
      image_name: TRITON_IMAGE,
      command: ['tritonserver'],
      gpus: 'none',
      // An unprivileged Engine may not raise limits.
      ulimits: [],
      shm_size: '256m',
      exit_timeout_seconds: 5,
      api_timeout_seconds: 60,
      model_gpu_configs: { MAM: { instances_per_gpu: 2 }, default: { instances_per_gpu: 1 } },
      ...triton,
    },
    config: { restart: { initial_delay_ms: 100 }, ...config },
  });
  await service.configure({ runners: { triton: { container_name: `triton_${service.instanceName}` } } });
  return service;
}
