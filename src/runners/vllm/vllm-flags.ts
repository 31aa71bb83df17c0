/** Flags of `vllm serve` that `extra_args` may hold, without a value or with one. */
const SWITCHES: ReadonlySet<string> = new Set([
  '--async-scheduling',
  '--disable-cascade-attn',
  '--disable-custom-all-reduce',
  '--disable-sliding-window',
  '--enable-auto-tool-choice',
  '--enable-chunked-prefill',
  '--enable-expert-parallel',
  '--enable-force-include-usage',
  '--enable-log-requests',
  '--enable-lora',
  '--enable-prefix-caching',
  '--enable-prompt-tokens-details',
  '--enforce-eager',
  '--language-model-only',
  '--no-enable-chunked-prefill',
  '--no-enable-prefix-caching',
  '--skip-mm-profiling',
  '--trust-remote-code',
]);

const WITH_VALUE: ReadonlySet<string> = new Set([
  '--attention-backend',
  '--block-size',
  '--chat-template',
  '--chat-template-content-format',
  '--code-revision',
  '--compilation-config',
  '--config-format',
  '--convert',
  '--cpu-offload-gb',
  '--default-chat-template-kwargs',
  '--generation-config',
  '--hf-overrides',
  '--kv-cache-dtype',
  '--kv-cache-memory-bytes',
  '--limit-mm-per-prompt',
  '--load-format',
  '--lora-modules',
  '--max-cpu-loras',
  '--max-logprobs',
  '--max-lora-rank',
  '--max-loras',
  '--max-num-batched-tokens',
  '--max-num-seqs',
  '--mm-processor-cache-gb',
  '--mm-processor-kwargs',
  '--model-impl',
  '--optimization-level',
  '--override-generation-config',
  '--quantization',
  '--reasoning-parser',
  '--revision',
  '--runner',
  '--safetensors-load-strategy',
  '--scheduling-policy',
  '--seed',
  '--speculative-config',
  '--stream-interval',
  '--tokenizer',
  '--tokenizer-mode',
  '--tokenizer-revision',
  '--tool-call-parser',
  '--uvicorn-log-level',
]);

/** What the runner says itself, and where that comes from. */
const OWN: Readonly<Record<string, string>> = {
  '--model': 'model',
  '--served-model-name': 'served_model_name',
  '--max-model-len': 'max_model_len',
  '--gpu-memory-utilization': 'gpu_memory_utilization',
  '--dtype': 'dtype',
  '--tensor-parallel-size': 'config.gpu_ids of a start',
  '-tp': 'config.gpu_ids of a start',
  '--enable-sleep-mode': 'sleep_mode',
  '--host': 'bind_address',
  '--port': 'ports',
};

export interface FlagFault {
  readonly index: number;
  readonly message: string;
}

/**
 * What is wrong with `extra_args`: each flag stands as `--flag`, `--flag=value`, or with its value as the next item.
 * Only known flags pass, by their whole name: vLLM takes "_" for "-", and others would take GPUs, ports or the metrics
 * away from the runner.
 */
export function flagFaults(args: readonly string[]): FlagFault[] {
  const faults: FlagFault[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const argument = args[index] ?? '';
    const [flag, value] = split(argument);
    const fault = (message: string): void => {
      faults.push({ index, message });
    };
    if (SWITCHES.has(flag)) {
      if (value !== undefined) fault(`${flag} takes no value`);
    } else if (WITH_VALUE.has(flag)) {
      if (value !== undefined) continue;
      const next = args[index + 1];
      if (next === undefined || next.startsWith('-')) {
        fault(
          `${flag} needs a value: write "${flag}=…", or the value as the next item, not beginning with "-"`,
        );
      } else index += 1;
    } else fault(refusal(flag));
  }
  return faults;
}

function split(argument: string): [string, string?] {
  const sign = argument.indexOf('=');
  return sign === -1 ? [argument] : [argument.slice(0, sign), argument.slice(sign + 1)];
}

function refusal(flag: string): string {
  const own = flag.replaceAll('_', '-');
  return Object.hasOwn(OWN, own)
    ? `${flag} is set by this service: use ${OWN[own] ?? ''}`
    : `${flag} is not allowed here; docs/backends/vllm.md lists what is`;
}
