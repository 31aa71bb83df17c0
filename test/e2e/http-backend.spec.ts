import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from '../support/ports.js';
import { TestService } from '../support/service.js';

const LLAMA = join(process.cwd(), 'test/fakes/llama-server.mjs');

describe('a model of the http backend, over the whole service', () => {
  let service: TestService;

  beforeEach(async () => {
    const [port = 0] = await freePorts(1);
    const from = Math.min(port, 32_700);
    const qwen = {
      ...{ command: [process.execPath, LLAMA], health_path: '/health' },
      args: ['--model', '/srv/qwen.gguf', '--host', '{host}', '--port', '{port}', '-c', '{option.ctx}'],
      options: { ctx: { type: 'integer', min: 256, max: 8192, default: 4096 } },
    };
    service = await TestService.create({
      runners: { http: { launcher: 'process', ports: { from, to: from + 20 }, models: { qwen } } },
    });
    await service.boot();
  });

  afterEach(() => service.dispose());

  it('starts, runs, is found again by the next run of the service, and stops', async () => {
    const { status, body } = await service.start('qwen', 0, { ctx: 512 });
    expect(status).toBe(202);
    expect(body).toMatchObject({ model_type: 'http', status: 'STARTING' });
    await service.start('qwen', 2);
    await service.untilRunning('qwen@0', 'qwen@2');
    const pids = await service.serverPids();
    await service.end();
    await service.boot();
    await service.untilRunning('qwen@0', 'qwen@2');
    expect(await service.serverPids()).toEqual(pids);
    for (const gpu of [0, 2]) expect((await service.stop('qwen', gpu)).status).toBe(200);
    expect(await service.serverPids()).toEqual([]);
  });

  it('is taken up when the state was lost', async () => {
    await service.start('qwen', 0, { ctx: 512 });
    await service.start('qwen', 2);
    await service.untilRunning('qwen@0', 'qwen@2');
    const pids = await service.serverPids();
    await service.end();
    await writeFile(join(service.stateDir, 'desired-state.json'), 'no state');
    await service.boot();
    await service.untilRunning('qwen@0', 'qwen@2');
    expect(await service.serverPids()).toEqual(pids);
  });

  it('refuses what its options do not allow', async () => {
    for (const config of [{ ctx: 1 }, { ctx: '512; reboot' }, { ctx: -1 }, { model: '/etc/passwd' }]) {
      const { status, body } = await service.start('qwen', 0, config);
      expect([status, body.code]).toEqual([400, 'CONFIG_OPTION_INVALID']);
    }
    expect(await service.serverPids()).toEqual([]);
  });
});
