import { afterEach, describe, expect, it } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { standinVllm } from '../fakes/vllm/standin-vllm.js';
import { ComfyuiStandin } from '../support/comfyui-standin.js';
import { freePorts } from '../support/ports.js';
import { processesOf } from '../support/processes.js';
import { TestService } from '../support/service.js';

const LLAMA = join(process.cwd(), 'test/fakes/llama-server.mjs');

/** What an operator's shell, or the container of the service, may have set: each would beat a decision of the service. */
const INHERITED = {
  CUDA_VISIBLE_DEVICES: '3',
  CUDA_DEVICE_ORDER: 'FASTEST_FIRST',
  NVIDIA_VISIBLE_DEVICES: '3',
  HIP_VISIBLE_DEVICES: '3',
  ROCR_VISIBLE_DEVICES: '3',
  VLLM_PORT: '1',
  VLLM_HOST_IP: '192.0.2.1',
  VLLM_API_KEY: 'secret',
  VLLM_SERVER_DEV_MODE: '1',
  MASTER_ADDR: '192.0.2.1',
  WORLD_SIZE: '4',
  LOCAL_RANK: '3',
  COMFYUI_WORKFLOW_DIR: '/nowhere',
  AIP_MODE: 'PREDICTION',
  PORT: '1',
  NOTIFY_SOCKET: '/run/systemd/notify',
  MIC_SECRET: 'secret',
};

let service: TestService;

afterEach(() => service.dispose());

async function boot(): Promise<void> {
  const [comfyui = 0, http = 0] = await freePorts(2);
  service = await TestService.create({
    env: { ...INHERITED, TEST_INHERITED: 'yes' },
    models: { MAM: { load_seconds: 0.1 } },
    vllm: (ports) => ({
      ...standinVllm(ports, { llama: { model: 'ready' } }),
      env: { VLLM_LOGGING_LEVEL: 'DEBUG' },
    }),
    runners: async (directory) => ({
      comfyui: {
        ...(await ComfyuiStandin.create(directory)).location,
        ports: { from: comfyui, to: comfyui + 10 },
      },
      http: {
        launcher: 'process',
        ports: { from: http, to: http + 10 },
        models: {
          qwen: {
            command: [process.execPath, LLAMA],
            args: ['--model', '/srv/qwen.gguf', '--host', '{host}', '--port', '{port}'],
            health_path: '/health',
          },
        },
      },
    }),
  });
  await service.boot();
}

/** Environment of the server of a model, as the kernel has it. */
async function environmentOf(model: string): Promise<ReadonlyMap<string, string>> {
  for (const pid of await processesOf(service.stateDir)) {
    const lines = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0');
    const environment = new Map(
      lines.map((line): [string, string] => {
        const sign = line.indexOf('=');
        return [line.slice(0, sign), line.slice(sign + 1)];
      }),
    );
    if (environment.get('MIC_LAUNCH_NAME')?.includes(model)) return environment;
  }
  throw new Error(`no server of ${model}`);
}

describe('F29: what this service decides is set beside it', () => {
  it('no server inherits it, of any backend; the rest it does', async () => {
    await boot();
    const gpus = (await service.get<{ uuid: string }[]>('/api/v1/gpus')).body;
    for (const model of ['MAM', 'chane_face', 'llama', 'qwen']) {
      expect((await service.start(model, 1)).status).toBe(202);
    }
    await service.untilRunning('MAM@1', 'chane_face@1', 'llama@1', 'qwen@1');
    const placements = {
      triton_server: undefined,
      chane_face: gpus[1]?.uuid,
      llama: '1',
      qwen: gpus[1]?.uuid,
    };
    for (const [server, visible] of Object.entries(placements)) {
      const environment = await environmentOf(server);
      expect([server, environment.get('CUDA_VISIBLE_DEVICES')]).toEqual([server, visible]);
      expect(environment.get('CUDA_DEVICE_ORDER')).toBe('PCI_BUS_ID');
      expect(environment.get('TEST_INHERITED')).toBe('yes');
      // What one backend decides, the servers of no other inherit either.
      const inherited = Object.entries(INHERITED).filter(([name, value]) => environment.get(name) === value);
      expect([server, inherited]).toEqual([server, []]);
    }
    expect((await environmentOf('llama')).get('VLLM_LOGGING_LEVEL')).toBe('DEBUG');
  });

  it('the service does not boot with a file that sets it, and names each key', async () => {
    await boot();
    await service.end();
    const config = parse(await readFile(service.configFile, 'utf8')) as {
      runners: Record<string, Record<string, unknown>>;
    };
    Object.assign(config.runners.triton ?? {}, {
      env: { CUDA_VISIBLE_DEVICES: '0' },
      extra_args: ['--http-port=1', '--model-contr', 'none'],
    });
    Object.assign(config.runners.vllm ?? {}, { env: { VLLM_PORT: '1' } });
    await writeFile(service.configFile, stringify(config));
    await expect(service.boot()).rejects.toThrow();
    for (const key of [
      'triton.env.CUDA_VISIBLE_DEVICES',
      'triton.extra_args.0',
      'triton.extra_args.1',
      'vllm.env.VLLM_PORT',
    ]) {
      expect(service.log).toContain(`runners.${key}: `);
    }
    expect(service.log).toContain(
      '--model-contr is short for --model-control-mode, which is set by this service',
    );
  });
});
