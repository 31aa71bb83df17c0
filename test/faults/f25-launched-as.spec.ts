import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from '../support/ports.js';
import { TestService } from '../support/service.js';

const LLAMA = join(process.cwd(), 'test/fakes/llama-server.mjs');
const SECRET = 'hf_verysecret';

let service: TestService;

afterEach(() => service.dispose());

interface Item {
  readonly model_name: string;
  readonly gpu_id: number;
  readonly status: string;
  readonly outdated?: readonly string[];
}

async function outdatedOf(model: string): Promise<readonly (readonly string[] | undefined)[]> {
  const { body } = await service.get<Item[]>(`/api/v1/models/status/${model}`);
  return body.map(({ outdated }) => outdated);
}

/** By Triton's own word: the instance groups of the model, as `gpu_2: 2`. */
async function groupsOf(model: string): Promise<string[]> {
  const response = await fetch(`http://127.0.0.1:${service.tritonPorts.http}/v2/models/${model}/config`);
  const config = (await response.json()) as { instance_group: { name: string; gpus: number[] }[] };
  return config.instance_group.map(({ name, gpus }) => `${name}: ${gpus.join()}`);
}

const warnings = () => service.log.split('\n').filter((line) => line.includes('runs as it was launched'));

describe('F25: the configuration changes while a server runs', () => {
  it('a Triton that sees all GPUs is given those that are meant, whatever list the file has by now', async () => {
    service = await TestService.create();
    await service.boot();
    await service.start('MAM', 2);
    await service.untilRunning('MAM@2');
    const pids = await service.serverPids();
    await service.end();
    await service.configure({ runners: { triton: { gpus: 'device=2,3' } } });
    await service.boot();
    await service.untilRunning('MAM@2');
    expect((await service.start('MAM', 3)).status).toBe(202);
    await service.untilRunning('MAM@2', 'MAM@3');
    expect(await groupsOf('MAM')).toEqual(['gpu_2: 2', 'gpu_3: 3']);
    expect(await service.serverPids()).toEqual(pids);
    expect(await outdatedOf('MAM')).toEqual([['gpus'], ['gpus']]);
    expect(warnings()).toHaveLength(1);
    // What the file leaves out, and the server sees, can be used until it is launched anew.
    expect((await service.start('FastFitAll', 0)).status).toBe(202);
    await service.untilRunning('FastFitAll@0', 'MAM@2', 'MAM@3');
    for (const gpu of [2, 3]) await service.stop('MAM', gpu);
    await service.stop('FastFitAll', 0);
    await service.start('MAM', 3);
    await service.untilRunning('MAM@3');
    expect(await groupsOf('MAM')).toEqual(['gpu_3: 1']);
    expect(await outdatedOf('MAM')).toEqual([undefined]);
  });

  it('a GPU that the running Triton does not see is refused, and what serves stays as it is', async () => {
    service = await TestService.create({ triton: { gpus: 'device=1,2' } });
    await service.boot();
    await service.start('MAM', 2);
    await service.untilRunning('MAM@2');
    await service.end();
    await service.configure({ runners: { triton: { gpus: 'all' } } });
    await service.boot();
    await service.untilRunning('MAM@2');
    for (const model of ['MAM', 'FastFitAll']) {
      const { status, body } = await service.start(model, 3);
      expect([status, body.code]).toEqual([400, 'GPU_NOT_USABLE']);
      expect(body.detail).toContain('was launched with');
      // The plan says the same of every GPU.
      const wish = { model_name: model, gpu_id: 1 };
      const plan = await service.call('POST', '/api/v1/models/plan', wish);
      const rooms = (plan.body as { gpus: { gpu_id: number; fits: boolean; reason?: { code: string } }[] })
        .gpus;
      const fits = rooms.map((room) => [room.gpu_id, room.fits, room.reason?.code]);
      expect(fits).toEqual([
        [0, false, 'GPU_NOT_USABLE'],
        [1, true, undefined],
        [2, true, undefined],
        [3, false, 'GPU_NOT_USABLE'],
      ]);
    }
    expect(await groupsOf('MAM')).toEqual(['gpu_2: 1']);
    expect(await service.placements()).toEqual(['MAM@2:RUNNING']);
    expect(await outdatedOf('MAM')).toEqual([['gpus']]);
  });

  it('a Triton without GPUs serves on the CPU until it is launched anew', async () => {
    service = await TestService.create({ triton: { gpus: 'none' } });
    await service.boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    await service.end();
    await service.configure({ runners: { triton: { gpus: 'all' } } });
    await service.boot();
    await service.start('MAM', 1);
    await service.untilRunning('MAM@0', 'MAM@1');
    expect(await groupsOf('MAM')).toEqual(['gpu_0: ', 'gpu_1: ']);
    expect(await outdatedOf('MAM')).toEqual([['gpus'], ['gpus']]);
  });

  it('nothing is outdated where nothing has changed, nor where a launcher has no notion of it', async () => {
    service = await TestService.create({ triton: { env: { TOKEN: SECRET } } });
    await service.boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    await service.end();
    await service.configure({
      runners: { triton: { gpus: 'device=0,1,2,3', image_name: 'other', shm_size: '2g' } },
    });
    await service.boot();
    await service.untilRunning('MAM@0');
    expect(await outdatedOf('MAM')).toEqual([undefined]);
    expect(warnings()).toEqual([]);
    await service.end();
    await service.configure({
      runners: { triton: { env: { TOKEN: 'another' }, extra_args: ['--log-verbose=1'] } },
    });
    await service.boot();
    await service.untilRunning('MAM@0');
    expect(await outdatedOf('MAM')).toEqual([['env', 'args']]);
    expect(warnings()).toHaveLength(1);
    const directory = join(service.stateDir, 'processes');
    for (const file of await readdir(directory)) {
      expect(await readFile(join(directory, file), 'utf8')).not.toContain(SECRET);
    }
  });
});

describe('F25: the same of a server of one placement', () => {
  beforeEach(async () => {
    const [port = 0] = await freePorts(1);
    const from = Math.min(port, 32_700);
    const qwen = {
      ...{ command: [process.execPath, LLAMA], health_path: '/health' },
      args: ['--model', '/srv/qwen.gguf', '--host', '{host}', '--port', '{port}'],
      env: { HF_TOKEN: SECRET },
    };
    service = await TestService.create({
      runners: { http: { launcher: 'process', ports: { from, to: from + 20 }, models: { qwen } } },
    });
    await service.boot();
    await service.start('qwen', 1);
    await service.start('qwen', 2);
    await service.untilRunning('qwen@1', 'qwen@2');
    await service.end();
  });

  it('each says in what it is not as the file is now, and one line in the log is about each', async () => {
    await service.edit(({ runners }) => {
      const { qwen } = runners.http?.models as { qwen: { args: string[] } };
      qwen.args.push('--alias', 'x');
    });
    await service.boot();
    await service.untilRunning('qwen@1', 'qwen@2');
    expect(await outdatedOf('qwen')).toEqual([['args'], ['args']]);
    expect(warnings()).toHaveLength(2);
    await service.stop('qwen', 1);
    await service.start('qwen', 1);
    await service.untilRunning('qwen@1', 'qwen@2');
    expect(await outdatedOf('qwen')).toEqual([undefined, ['args']]);
  });

  it('one that is to run without a GPU by now keeps its own', async () => {
    await service.edit(({ runners }) => {
      Object.assign(runners.http ?? {}, { device: 'cpu' });
    });
    await service.boot();
    await service.untilRunning('qwen@1', 'qwen@2');
    expect(await outdatedOf('qwen')).toEqual([['gpus'], ['gpus']]);
  });
});
