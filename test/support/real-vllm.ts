import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TestService } from './service.js';

const DIRECTORY = join(process.env.MIC_REAL_DIR ?? '/var/tmp/mic-real', 'vllm');
/** `vllm` itself. */
export const REAL_VLLM = join(DIRECTORY, 'venv/bin/vllm');

/** Whether vLLM's own server is on this machine; without it, a test says so and is skipped, or fails under REQUIRE_REAL. */
export function vllmIsThere(): boolean {
  if (existsSync(join(DIRECTORY, 'venv/provisioned')) && existsSync(join(DIRECTORY, 'tiny-llama/complete'))) {
    return true;
  }
  const words = `vLLM's own server is not in ${DIRECTORY} (test/real/provision/provision.sh brings it there)`;
  if (process.env.REQUIRE_REAL === '1') throw new Error(words);
  process.stderr.write(`${words}: the tests against it are skipped.\n`);
  return false;
}

/** Runs its first argument with the others, without the flag that vLLM refuses where there is no GPU. */
const WITHOUT_SLEEP_FLAG =
  'for each; do shift; [ "$each" = --enable-sleep-mode ] || set -- "$@" "$each"; done; exec "$0" "$@"';

/** The service over vLLM's own CPU server with a tiny model, `tiny`, served as `tiny-llama`. Not booted yet. */
export function createRealVllm(config: Record<string, unknown> = {}): Promise<TestService> {
  return create({ command: [REAL_VLLM], device: 'cpu' }, {}, config);
}

/**
 * The same, and it can sleep: all that vLLM does for it but the memory, of which a CPU gives nothing back. The service
 * must not know that it is one.
 */
export function createSleepyVllm(): Promise<TestService> {
  return create(
    { command: ['sh', '-c', WITHOUT_SLEEP_FLAG, REAL_VLLM], device: 'gpu' },
    { sleep_mode: true },
  );
}

/** Longest context of the model of `createSlowVllm`, tokens. */
export const SLOW_CONTEXT = 8192;

/** The same over a model that takes seconds for one step over a long prompt: its weights are made up as it is loaded. */
export function createSlowVllm(directory: string): Promise<TestService> {
  mkdirSync(directory, { recursive: true });
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
    copyFileSync(join(DIRECTORY, 'tiny-llama', file), join(directory, file));
  }
  const tiny = JSON.parse(readFileSync(join(DIRECTORY, 'tiny-llama/config.json'), 'utf8')) as object;
  const slow = {
    ...{
      hidden_size: 512,
      intermediate_size: 2048,
      num_hidden_layers: 8,
      max_position_embeddings: SLOW_CONTEXT,
    },
    ...{ num_attention_heads: 8, num_key_value_heads: 8, head_dim: 64 },
  };
  writeFileSync(join(directory, 'config.json'), JSON.stringify({ ...tiny, ...slow }));
  const oneStep = ['--no-enable-chunked-prefill', `--max-num-batched-tokens=${SLOW_CONTEXT}`];
  return create(
    { command: [REAL_VLLM], device: 'cpu', stop_grace_seconds: 90 },
    {
      model: directory,
      max_model_len: SLOW_CONTEXT,
      extra_args: ['--enforce-eager', '--load-format=dummy', '--no-enable-prefix-caching', ...oneStep],
    },
  );
}

function create(
  section: Record<string, unknown>,
  tiny: Record<string, unknown> = {},
  config: Record<string, unknown> = {},
): Promise<TestService> {
  return TestService.create({
    process: true,
    vllm: (ports) => ({
      launcher: 'process',
      ports,
      env: { HF_HUB_OFFLINE: '1', VLLM_NO_USAGE_STATS: '1', VLLM_CPU_KVCACHE_SPACE: '1' },
      start_timeout_seconds: 300,
      stop_grace_seconds: 30,
      ...section,
      models: {
        tiny: {
          model: join(DIRECTORY, 'tiny-llama'),
          served_model_name: 'tiny-llama',
          max_model_len: 256,
          dtype: 'float32',
          extra_args: ['--enforce-eager'],
          ...tiny,
        },
        impossible: { model: join(DIRECTORY, 'tiny-llama'), max_model_len: 100_000 },
      },
    }),
    config: { restart: { initial_delay_ms: 100, max_attempts: 1 }, ...config },
  });
}
