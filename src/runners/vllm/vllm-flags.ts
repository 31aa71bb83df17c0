import { commandFaults, type Decided, type DecidedFault, findFlag, flagDecision } from '../decided.js';

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

/** What the runner says itself, and what to use. */
export const VLLM_DECIDED_FLAGS: Decided = {
  '--model': 'model',
  '--served-model-name': 'served_model_name',
  '--max-model-len': 'max_model_len',
  '--gpu-memory-utilization': 'gpu_memory_utilization',
  '--device-memory-utilization': 'gpu_memory_utilization',
  '--dtype': 'dtype',
  '--tensor-parallel-size': 'config.gpu_ids of a start',
  '-tp': 'config.gpu_ids of a start',
  '--enable-sleep-mode': 'sleep_mode',
  '--no-enable-sleep-mode': 'sleep_mode',
  '--shutdown-timeout': 'stop_grace_seconds',
  '--host': 'bind_address',
  '--port': 'ports',
};

const GPUS = 'a server has the GPUs of its placement, one engine over all of them (config.gpu_ids)';
const ONE_HOST = 'a server is one process of this host';
const ITS_PORT = 'this service and its clients reach a server at its port, over plain HTTP';
const LOAD = 'every server that can tracks its load: it says which requests are open';
const ENDS = 'with it, a server ends at once';

/** Why no list may hold these, which would undo what the runner says. Source: `vllm serve --help=all` (0.32). */
export const VLLM_REFUSED_FLAGS: Decided = {
  ...{ '--pipeline-parallel-size': GPUS, '-pp': GPUS, '--device-ids': GPUS },
  ...{ '--prefill-context-parallel-size': GPUS, '-pcp': GPUS, '--distributed-executor-backend': GPUS },
  ...{ '--data-parallel-size': GPUS, '-dp': GPUS, '--data-parallel-size-local': GPUS, '-dpl': GPUS },
  ...{ '--data-parallel-rank': ONE_HOST, '-dpn': ONE_HOST },
  ...{ '--data-parallel-start-rank': ONE_HOST, '-dpr': ONE_HOST },
  ...{ '--data-parallel-address': ONE_HOST, '-dpa': ONE_HOST },
  ...{ '--data-parallel-rpc-port': ONE_HOST, '-dpp': ONE_HOST },
  ...{ '--data-parallel-backend': ONE_HOST, '-dpb': ONE_HOST },
  ...{ '--data-parallel-hybrid-lb': ONE_HOST, '-dph': ONE_HOST },
  ...{ '--data-parallel-external-lb': ONE_HOST, '-dpe': ONE_HOST },
  ...{ '--data-parallel-multi-port-external-lb': ONE_HOST, '-dpm': ONE_HOST },
  ...{ '--data-parallel-supervisor-port': ONE_HOST, '--headless': ONE_HOST },
  ...{ '--nnodes': ONE_HOST, '-n': ONE_HOST, '--node-rank': ONE_HOST, '-r': ONE_HOST },
  ...{ '--master-addr': ONE_HOST, '--master-port': ONE_HOST },
  ...{ '--api-server-count': ITS_PORT, '-asc': ITS_PORT, '--grpc': ITS_PORT, '--grpc-port': ITS_PORT },
  ...{ '--uds': ITS_PORT, '--root-path': ITS_PORT, '--middleware': ITS_PORT },
  ...{ '--ssl-keyfile': ITS_PORT, '--ssl-certfile': ITS_PORT, '--ssl-ca-certs': ITS_PORT },
  ...{ '--ssl-cert-reqs': ITS_PORT },
  '--api-key': 'this service has no key to give; put a gateway in front',
  '--disable-log-stats': 'the metrics say which requests are open',
  ...{ '--enable-server-load-tracking': LOAD, '--no-enable-server-load-tracking': LOAD },
  '--config': 'a file can hold any flag; use the keys of the model and extra_args',
  ...{ '--help': ENDS, '-h': ENDS },
};

/** Those that a list may hold. */
export const VLLM_FREE_FLAGS: ReadonlySet<string> = new Set([...SWITCHES, ...WITH_VALUE]);

const NO_OTHER = 'config.gpu_ids of a start: a server is one process of this host';

/** Variables of vLLM, besides those of GPUs. Source: its `envs.py` (0.32), and what PyTorch reads of a launch. */
export const VLLM_DECIDED_VARIABLES: Decided = {
  VLLM_PORT: 'ports',
  VLLM_HOST_IP: 'bind_address',
  VLLM_LOOPBACK_IP: 'bind_address',
  VLLM_API_KEY: 'a gateway in front, as this service has no key to give',
  VLLM_SERVER_DEV_MODE: 'sleep_mode',
  VLLM_DP_RANK: NO_OTHER,
  VLLM_DP_RANK_LOCAL: NO_OTHER,
  VLLM_DP_SIZE: NO_OTHER,
  VLLM_DP_MASTER_IP: NO_OTHER,
  VLLM_DP_MASTER_PORT: NO_OTHER,
  RANK: NO_OTHER,
  LOCAL_RANK: NO_OTHER,
  WORLD_SIZE: NO_OTHER,
  LOCAL_WORLD_SIZE: NO_OTHER,
  MASTER_ADDR: NO_OTHER,
  MASTER_PORT: NO_OTHER,
};

/** What of `command` this service decides. */
export function vllmCommandFaults(command: readonly string[]): DecidedFault[] {
  return commandFaults(command, {
    flags: { ...VLLM_DECIDED_FLAGS, ...VLLM_REFUSED_FLAGS },
    variables: VLLM_DECIDED_VARIABLES,
    free: VLLM_FREE_FLAGS,
  });
}

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
    const [flag, value] = splitFlag(argument);
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

/** A flag, and its value where that is in the same item. */
export function splitFlag(argument: string): [string, string?] {
  const sign = argument.indexOf('=');
  return sign === -1 ? [argument] : [argument.slice(0, sign), argument.slice(sign + 1)];
}

function refusal(flag: string): string {
  const decided = flagDecision(flag, VLLM_DECIDED_FLAGS, VLLM_FREE_FLAGS);
  if (decided !== undefined) return decided;
  const refused = findFlag(flag, VLLM_REFUSED_FLAGS, VLLM_FREE_FLAGS);
  if (refused) return `${refused.subject} is not allowed here: ${VLLM_REFUSED_FLAGS[refused.flag] ?? ''}`;
  return `${flag} is not allowed here; docs/backends/vllm.md lists what is`;
}
