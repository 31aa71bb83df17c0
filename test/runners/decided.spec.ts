import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { ConfigInvalidError, loadConfig } from '../../src/config/load-config.js';
import { GPU_VARIABLES } from '../../src/launchers/gpu-variables.js';
import { backends } from '../../src/runners/backends.js';
import { COMFYUI_DECIDED_FLAGS, COMFYUI_REFUSED_FLAGS } from '../../src/runners/comfyui/comfyui-flags.js';
import { httpModelOptions } from '../../src/runners/http/http-decided.js';
import { httpSection } from '../../src/runners/http/http-section.js';
import { TRITON_DECIDED_FLAGS, TRITON_FREE_FLAGS } from '../../src/runners/triton/triton-flags.js';
import {
  VLLM_DECIDED_FLAGS,
  VLLM_DECIDED_VARIABLES,
  VLLM_REFUSED_FLAGS,
} from '../../src/runners/vllm/vllm-flags.js';

const DEFAULT = resolve(import.meta.dirname, '../../config/default.yaml');
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mic-decided-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** Path below `runners` → message of every fault of a file with these sections. */
function faults(runners: Record<string, unknown>): Record<string, string> {
  const file = join(directory, 'config.yaml');
  writeFileSync(file, stringify({ runners }));
  try {
    loadConfig(DEFAULT, { MIC_CONFIG: file }, backends);
    return {};
  } catch (error) {
    if (!(error instanceof ConfigInvalidError)) throw error;
    return Object.fromEntries(
      error.faults.map(({ path, message }) => [path.replace(/^runners\./, ''), message]),
    );
  }
}

const http = (model: Record<string, unknown>, section: Record<string, unknown> = {}): unknown => ({
  ...section,
  models: { qwen: { image_name: 'x:1', health_path: '/health', ...model } },
});
const vllm = (args: string[]): unknown => ({ models: { llama: { model: '/m', extra_args: args } } });
const comfyui = (args: string[]): unknown => ({ model_configs: { chane_face: { args } } });

describe('what this service decides cannot be set in a file', () => {
  describe.each(['triton', 'comfyui', 'vllm', 'http'])('%s', (backend) => {
    it.each([...GPU_VARIABLES, 'MIC_LAUNCH_OWNER'])('env: %s', (name) => {
      const found = faults({ [backend]: { env: { [name]: '0' } } });
      expect(Object.keys(found)).toEqual([`${backend}.env.${name}`]);
      expect(found[`${backend}.env.${name}`]).toMatch(/is set by this service: use /);
    });

    it('and what it does not decide can', () => {
      const env = {
        CUDA_HOME: '/usr/local/cuda',
        CUDA_MODULE_LOADING: 'LAZY',
        NCCL_DEBUG: 'INFO',
        HF_TOKEN: 'x',
      };
      expect(faults({ [backend]: { env } })).toEqual({});
    });
  });

  it('in the environment of a model of http, placeholders or not', () => {
    expect(Object.keys(faults({ http: http({ env: { CUDA_VISIBLE_DEVICES: '{gpu_uuid}' } }) }))).toEqual([
      'http.models.qwen.env.CUDA_VISIBLE_DEVICES',
    ]);
    expect(faults({ http: http({ env: { PORT: '{port}', HOST: '{host}' } }) })).toEqual({});
  });

  it.each(Object.keys(VLLM_DECIDED_VARIABLES))('vllm, env: %s', (name) => {
    const found = faults({ vllm: { env: { [name]: '1' } } });
    expect(Object.keys(found)).toEqual([`vllm.env.${name}`]);
  });

  it.each([
    ['triton', 'AIP_MODE'],
    ['triton', 'AIP_HTTP_PORT'],
    ['comfyui', 'COMFYUI_WORKFLOW_DIR'],
  ])('%s, env: %s', (backend, name) => {
    expect(Object.keys(faults({ [backend]: { env: { [name]: 'x' } } }))).toEqual([`${backend}.env.${name}`]);
  });

  it.each(['triton', 'vllm'])('%s: a variable or a flag in command', (backend) => {
    const program = backend === 'triton' ? 'tritonserver' : 'vllm';
    const flag = backend === 'triton' ? '--http-port=1' : '--port=1';
    const command = ['env', 'CUDA_VISIBLE_DEVICES=0', program, flag];
    expect(Object.keys(faults({ [backend]: { command } }))).toEqual(
      expect.arrayContaining([`${backend}.command.1`, `${backend}.command.3`]),
    );
    const shell = ['sh', '-c', `export CUDA_VISIBLE_DEVICES=1; exec ${program} "$@"`, '--'];
    expect(Object.keys(faults({ [backend]: { command: shell } }))).toEqual([`${backend}.command.2`]);
    expect(
      faults({ [backend]: { command: ['nice', '-n', '5', 'numactl', '--membind=0', program] } }),
    ).toEqual({});
  });

  it.each([
    [['env', '-u', 'CUDA_VISIBLE_DEVICES', 'tritonserver'], 2],
    [['env', '--unset=CUDA_VISIBLE_DEVICES', 'tritonserver'], 1],
    [['env', '-uCUDA_VISIBLE_DEVICES', 'tritonserver'], 1],
    [['/usr/bin/env', '-i', 'tritonserver'], 0],
    [['env', '-', 'tritonserver'], 0],
    [['env', 'A=1', '--ignore-environment', 'tritonserver'], 0],
    [['sh', '-c', 'unset CUDA_VISIBLE_DEVICES; exec tritonserver "$@"', '--'], 2],
    [['bash', '-lc', 'exec env -i tritonserver "$@"', '--'], 2],
  ])('triton: taken away: %j', (command, item) => {
    expect(Object.keys(faults({ triton: { command } }))).toEqual([`triton.command.${item}`]);
  });

  it.each([
    [['sh', '-c', 'echo "$CUDA_VISIBLE_DEVICES ${NVIDIA_VISIBLE_DEVICES}"; exec tritonserver "$@"', '--']],
    [['env', '-u', 'LD_PRELOAD', 'A=1', 'tritonserver', '-i']],
    [['my-env', '-i', 'tritonserver']],
    [['sh', '-c', 'ulimit -l unlimited; exec tritonserver --log-verbose=1 "$@"', '--']],
  ])('triton: %j decides nothing', (command) => {
    expect(faults({ triton: { command } })).toEqual({});
  });

  it('http: a variable in command and args', () => {
    const found = faults({
      http: http({
        command: ['env', 'CUDA_VISIBLE_DEVICES=1', 'server'],
        args: ['--env=NVIDIA_VISIBLE_DEVICES=0'],
      }),
    });
    expect(Object.keys(found)).toEqual(['http.models.qwen.command.1', 'http.models.qwen.args.0']);
  });

  it.each([
    [['--port', '{port}', '--port', '9000'], ['args.2']],
    [['--port={port}', '--port=9000'], ['args.1']],
    [['-p', '{port}', '-p', '9000'], ['args.2']],
    [['--http-port', '{port}', '--http_port=9000'], ['args.2']],
    [['--host', '{host}', '--hos', '0.0.0.0', '--port', '{port}'], ['args.2']],
    [['--port', '{port}', '--port', '{port}'], []],
    [['--port-http', '{port}', '--port', '9000'], []],
    [['--port', '{port}', '--reporter', 'x'], []],
  ])('http: a place is given once: %j', (args, expected) => {
    expect(Object.keys(faults({ http: http({ args }) }))).toEqual(
      expected.map((key) => `http.models.qwen.${key}`),
    );
  });
});

describe('an option of a start of http', () => {
  const { models } = httpSection.parse({
    enabled: true,
    launcher: 'process',
    container_name: 'http',
    ports: { from: 20_000, to: 20_010 },
    start_timeout_seconds: 1,
    stop_grace_seconds: 1,
    models: {
      qwen: {
        command: ['server'],
        args: ['--port', '{port}', '--host={host}', '{option.more}'],
        options: { more: { type: 'string', allow_leading_dash: true, default: '--quiet' } },
        health_path: '/health',
      },
    },
  });
  const schema = models.qwen && httpModelOptions(models.qwen);

  it.each(['--port=9000', '--port 9000', '--por=9000', '--host=0.0.0.0', '--host'])(
    'gives no place once more: %s',
    (more) => {
      expect(schema?.safeParse({ more }).error?.issues).toMatchObject([
        {
          path: ['more'],
          message: expect.stringMatching(/ is set by this service: use \{(port|host)\} alone$/),
        },
      ]);
    },
  );

  it.each(['--verbose', '--ports', 'text --port', '-'])('is taken: %s', (more) => {
    expect(schema?.safeParse({ more }).success).toBe(true);
  });
});

describe("Triton's extra_args", () => {
  const of = (...args: string[]): Record<string, string> => faults({ triton: { extra_args: args } });

  it.each(Object.keys(TRITON_DECIDED_FLAGS))('are refused: %s', (flag) => {
    expect(Object.keys(of(`${flag}=1`))).toEqual(['triton.extra_args.0']);
    expect(Object.keys(of(flag, '1'))).toEqual(['triton.extra_args.0']);
    expect(Object.keys(of(`${flag} 1`))).toEqual(['triton.extra_args.0']);
    expect(Object.keys(of(flag.replaceAll('-', '_').replace('__', '--')))).toEqual(['triton.extra_args.0']);
  });

  it.each([
    '--model-contr=none',
    '--http-p',
    '--allow-h=false',
    '--exit-t=1',
    '--load',
    '--model_contr=poll',
  ])('are refused where they begin such a flag: %s', (flag) => {
    expect(of(flag)['triton.extra_args.0']).toMatch(
      /is short for --[a-z-]+, which is set by this service: use /,
    );
  });

  it.each([...TRITON_FREE_FLAGS])('are taken: %s', (flag) => {
    expect(of(`${flag}=1`)).toEqual({});
  });

  it('are refused at their place, with what to use, each of them', () => {
    expect(of('--log-verbose=1', '--http-port=1', '--strict-readiness=false', '--http-port', '2')).toEqual({
      'triton.extra_args.1': '--http-port is set by this service: use http_port, or dedicated_ports',
      'triton.extra_args.3': '--http-port is set by this service: use http_port, or dedicated_ports',
    });
  });

  it.each([
    [['--http-restricted-api=model-repository:key=value'], true],
    [['--http-restricted-api', 'health,inference:key=value'], true],
    [['--http-restr=metadata:key=value'], true],
    [['--http-restricted-api=shared-memory,trace:key=value'], false],
    [['--grpc-restricted-protocol=model-repository:key=value'], false],
  ])('may close APIs of Triton but those that this service asks: %j', (args, refused) => {
    expect(Object.keys(of(...args))).toEqual(refused ? ['triton.extra_args.0'] : []);
  });
});

describe("vLLM's extra_args", () => {
  it.each(Object.keys(VLLM_DECIDED_FLAGS))('are refused, with what to use: %s', (flag) => {
    expect(faults({ vllm: vllm([`${flag}=1`]) })).toEqual({
      'vllm.models.llama.extra_args.0': expect.stringMatching(/ is set by this service: use ./),
    });
  });

  it.each(Object.keys(VLLM_REFUSED_FLAGS))('are refused, with the reason: %s', (flag) => {
    expect(faults({ vllm: vllm([`${flag}=1`]) })).toEqual({
      'vllm.models.llama.extra_args.0': expect.stringMatching(/ is not allowed here: ./),
    });
  });

  it.each([
    ['--por=1', 'which is set by this service: use ports'],
    ['--tensor_parallel_size=2', 'is set by this service: use config.gpu_ids of a start'],
    ['--tensor-par=2', 'which is set by this service: use config.gpu_ids of a start'],
    ['--gpu_memory=0.5', 'which is set by this service: use gpu_memory_utilization'],
    ['--data_parallel_size', 'is not allowed here: '],
    ['--api', 'which is not allowed here: '],
  ])('are refused in other spellings: %s', (flag, words) => {
    expect(faults({ vllm: vllm([flag]) })['vllm.models.llama.extra_args.0']).toContain(words);
  });
});

describe("ComfyUI's args", () => {
  const decided = { ...COMFYUI_DECIDED_FLAGS, ...COMFYUI_REFUSED_FLAGS };

  it.each(Object.keys(decided))('are refused, with the reason: %s', (flag) => {
    const found = faults({ comfyui: comfyui(['--disable-metadata', `${flag}=1`]) });
    expect(found).toEqual({
      'comfyui.model_configs.chane_face.args.1': expect.stringMatching(/follows from .|allowed: ./),
    });
  });

  it.each(['--por=1', '--cuda-dev=1', '--cuda_device=1', '--listen', '--disable-auto', '--temp-d=/x'])(
    'are refused in other spellings: %s',
    (flag) => {
      expect(Object.keys(faults({ comfyui: comfyui([flag]) }))).toEqual([
        'comfyui.model_configs.chane_face.args.0',
      ]);
    },
  );

  it('of another version are not this file to refuse', () => {
    expect(faults({ comfyui: comfyui(['--cache-ram', '16', '--disable-dynamic-vram']) })).toEqual({});
  });
});
