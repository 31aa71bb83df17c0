import { describe, expect, it } from '@jest/globals';
import { createServer } from 'node:net';
import {
  boot,
  comfyui,
  expectNothingLeft,
  firstPort,
  images,
  output,
  placements,
  prompt,
  service,
  start,
  useComfyui,
} from '../support/comfyui-service.js';

useComfyui();

describe('ComfyUI over the API', () => {
  it('starts on two GPUs, works, stops on one and then on the other; Triton serves beside it', async () => {
    await boot();
    expect((await service.get('/api/v1/models/supported')).body).toEqual({
      MAM: 'triton',
      chane_face: 'comfyui',
    });
    await start(0, 1);
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0', 'chane_face@0', 'chane_face@1');
    const [, second] = await placements();
    // Two starts at once take the range's ports in either order.
    expect((await placements()).map(({ port }) => port).sort()).toEqual([firstPort, firstPort + 1]);
    const { body: gpus } = await service.get<{ uuid: string }[]>('/api/v1/gpus');
    expect(await comfyui('/visible', undefined, second?.port ?? 0)).toEqual({
      gpus: gpus[1]?.uuid,
      order: 'PCI_BUS_ID',
    });
    await prompt();
    await service.until(async () => (await images()).length === 1);
    expect((await service.stop('chane_face', 0)).body).toMatchObject({ active_gpu_ids: [1] });
    expect(await service.placements()).toEqual(['MAM@0:RUNNING', 'chane_face@1:RUNNING']);
    expect((await service.stop('chane_face', 1)).body).toMatchObject({ status: 'STOPPED' });
    await service.stop('MAM', 0);
    await expectNothingLeft();
    const log = await output();
    expect(log).toMatch(/POST \/free \{"unload_models":true,"free_memory":true\}/);
    expect(log).toMatch(/Stopped server/);
  });

  it('takes options of an allow-list, and no other', async () => {
    await boot();
    const refused = await service.start('chane_face', 0, { listen: '0.0.0.0' });
    expect(refused.status).toBe(400);
    expect(refused.body.detail).toMatch(/listen/);
    expect((await service.start('chane_face', 0, { vram: 'huge' })).status).toBe(400);
    expect((await service.start('chane_face', 0, { vram: 'low', reserve_vram: 1 })).status).toBe(202);
    await service.untilRunning('chane_face@0');
    const { system } = await comfyui<{ system: { argv: string[] } }>('/system_stats');
    expect(system.argv.join(' ')).toMatch(/--lowvram --reserve-vram 1$/);
  });

  it('is refused where it is not configured, or something is missing, before anything changes', async () => {
    await boot({ section: { comfyui_path: null } });
    const refused = await service.start('chane_face', 0);
    expect(refused).toMatchObject({ status: 501, body: { code: 'COMFYUI_NOT_CONFIGURED' } });
    expect(refused.body.detail).toMatch(/runners\.comfyui\.comfyui_path/);
    // What cannot be started here is no model to choose.
    expect((await service.get('/api/v1/models/supported')).body).toEqual({ MAM: 'triton' });
    await service.dispose();
    await boot({ section: { model_configs: { chane_face: { workflow_dir: '/no/such/workflows' } } } });
    expect(await service.start('chane_face', 0)).toMatchObject({
      status: 500,
      body: {
        code: 'COMFYUI_FILE_MISSING',
        detail: expect.stringMatching(
          /^\/no\/such\/workflows is not there.*model_configs\.chane_face\.workflow_dir/,
        ),
      },
    });
    await service.dispose();
    await boot({ section: { python: '/no/such/python' } });
    expect((await service.start('chane_face', 0)).body).toMatchObject({ code: 'COMMAND_MISSING' });
    await expectNothingLeft();
  });

  it('a port that somebody has is passed over', async () => {
    await boot();
    const holder = createServer().listen(firstPort, '127.0.0.1');
    try {
      await start(0);
      expect((await placements())[0]?.port).toBe(firstPort + 1);
    } finally {
      holder.close();
    }
  });
});
