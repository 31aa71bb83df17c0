import type { Launcher } from '../../launchers/launcher.js';
import type { ServedPlacement, ServerProgram } from '../placement-server/served-placement.js';
import type { VllmConfig, VllmModel } from './vllm-section.js';
import type { VllmOptions } from './vllm-options.js';

export const VLLM_COMMAND_KEY = 'runners.vllm.command';

/** The server's name of the model in its OpenAI API. */
export function servedName(modelName: string, model: VllmModel): string {
  return model.served_model_name ?? modelName;
}

/** `vllm serve` for a placement. Every argument is one item of a list: nothing goes through a shell. */
export function vllmProgram(
  { command, device }: Pick<VllmConfig, 'command' | 'device'>,
  launcher: Launcher['kind'],
  model: VllmModel,
  placement: ServedPlacement<VllmOptions>,
  optionalFlags: readonly string[] = [],
): ServerProgram {
  const { options, gpuIds } = placement;
  const serve = [
    'serve',
    model.model,
    ...['--host', placement.listenAddress],
    ...['--port', String(placement.port)],
    ...['--served-model-name', servedName(placement.modelName, model)],
    ...optionalFlags,
    ...['--dtype', options.dtype],
    ...flag('--max-model-len', options.max_model_len),
    ...flag('--gpu-memory-utilization', options.gpu_memory_utilization),
    ...(gpuIds.length > 1 ? ['--tensor-parallel-size', String(gpuIds.length)] : []),
    ...(model.sleep_mode ? ['--enable-sleep-mode'] : []),
    ...model.extra_args,
  ];
  // Without it, vLLM sleeps for nobody who asks over HTTP.
  const sleepEnv = model.sleep_mode ? { VLLM_SERVER_DEV_MODE: '1' } : undefined;
  const programSetting = VLLM_COMMAND_KEY;
  // Images differ in what their entry point says already: this one is the same for all of them.
  if (launcher === 'docker') {
    return { entrypoint: command, command: serve, programSetting, ...(sleepEnv && { env: sleepEnv }) };
  }
  // Of UUIDs, some versions of vLLM say "invalid literal for int()". In the order of PCI, NVML's indices are CUDA's.
  const gpuEnv =
    device === 'gpu'
      ? { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: gpuIds.join(',') }
      : undefined;
  const env = { ...gpuEnv, ...sleepEnv };
  return { command: [...command, ...serve], programSetting, ...(Object.keys(env).length > 0 && { env }) };
}

function flag(name: string, value: number | null): string[] {
  return value === null ? [] : [name, String(value)];
}
