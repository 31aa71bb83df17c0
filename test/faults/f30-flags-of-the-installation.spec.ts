import { describe, expect, it } from '@jest/globals';
import {
  boot,
  comfyui,
  expectNothingLeft,
  service,
  standin,
  useComfyui,
} from '../support/comfyui-service.js';

useComfyui();

const withArgs = (...args: string[]): { section: Record<string, unknown> } => ({
  section: { model_configs: { chane_face: { args } } },
});

async function argv(): Promise<string> {
  const { system } = await comfyui<{ system: { argv: string[] } }>('/system_stats');
  return system.argv.join(' ');
}

describe('F30: a flag of another version than the one that is installed', () => {
  it('is refused before anything changes, with the nearest that it has', async () => {
    await boot({ ...withArgs('--normalvram'), behaviour: { lacks_flags: ['--normalvram'] } });
    const refused = await service.start('chane_face', 0);
    expect(refused).toMatchObject({ status: 500, body: { code: 'COMFYUI_FLAG_REFUSED' } });
    expect(refused.body.detail).toMatch(
      /^--normalvram is unknown to this ComfyUI; the nearest flag that it has is --novram: correct runners\.comfyui\.model_configs\.chane_face\.args/,
    );
    await expectNothingLeft();
    // The installation was replaced: it is asked anew.
    await standin.behave({});
    expect((await service.start('chane_face', 0)).status).toBe(202);
    await service.untilRunning('chane_face@0');
    expect(await argv()).toMatch(/ --normalvram$/);
  });

  it('of an option of the start is a 400 that names the option', async () => {
    await boot({ behaviour: { lacks_flags: ['--normalvram'] } });
    const refused = await service.start('chane_face', 0, { vram: 'normal' });
    expect(refused).toMatchObject({ status: 400, body: { code: 'COMFYUI_FLAG_REFUSED' } });
    expect(refused.body.detail).toMatch(/^config\.vram: --normalvram is unknown to this ComfyUI/);
    expect((await service.start('chane_face', 0, { vram: 'low' })).status).toBe(202);
    await service.untilRunning('chane_face@0');
  });

  it('is taken where the installed one has it, though this service has never heard of it', async () => {
    await boot({
      ...withArgs('--cache-ram', '16', '--disable-dynamic-vram'),
      behaviour: { more_flags: { '--cache-ram': 'GB', '--disable-dynamic-vram': '' } },
    });
    expect((await service.start('chane_face', 0)).status).toBe(202);
    await service.untilRunning('chane_face@0');
    expect(await argv()).toMatch(/ --cache-ram 16 --disable-dynamic-vram$/);
  });

  it('takes the values that the installed one says', async () => {
    await boot({
      ...withArgs('--disable-dynamic-vram', 'yes'),
      behaviour: { more_flags: { '--disable-dynamic-vram': '' } },
    });
    expect((await service.start('chane_face', 0)).body.detail).toMatch(/^"yes" belongs to no flag/);
  });

  it('takes values that no version before took, and flags without the value they had', async () => {
    const newer = { '--fast': '[FAST ...]', '--async-offload': '[N]', '--enable-cors-header': '[ORIGIN]' };
    await boot({
      ...withArgs('--fast', 'autotune', 'cublas_ops', '--async-offload=4', '--enable-cors-header'),
      behaviour: { more_flags: newer },
    });
    expect((await service.start('chane_face', 0)).status).toBe(202);
    await service.untilRunning('chane_face@0');
    expect(await argv()).toMatch(/ --fast autotune cublas_ops --async-offload=4 --enable-cors-header$/);
  });

  it('refuses a value that another version takes', async () => {
    await boot({
      ...withArgs('--async-offload=4'),
      behaviour: { more_flags: { '--async-offload': '' } },
    });
    const refused = await service.start('chane_face', 0);
    expect(refused).toMatchObject({ status: 500, body: { code: 'COMFYUI_FLAG_REFUSED' } });
    expect(refused.body.detail).toMatch(/^--async-offload takes no value: correct runners\.comfyui/);
    await expectNothingLeft();
  });

  it('counts as it did where ComfyUI does not say its flags', async () => {
    await boot({ ...withArgs('--lowvram'), behaviour: { help_seconds: -1 } });
    expect((await service.start('chane_face', 0)).status).toBe(202);
    await service.untilRunning('chane_face@0');
    await service.dispose();
    await boot({ ...withArgs('--cache-ram=16'), behaviour: { help_seconds: 60 } });
    const refused = await service.start('chane_face', 0);
    expect(refused).toMatchObject({ status: 500, body: { code: 'COMFYUI_FLAG_REFUSED' } });
    expect(refused.body.detail).toMatch(
      /^--cache-ram is not among the flags .*has not said: not done within 3 s/,
    );
  });
});
