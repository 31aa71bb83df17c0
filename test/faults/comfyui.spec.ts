import { describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { processesOf } from '../support/processes.js';
import {
  boot,
  expectNothingLeft,
  images,
  launches,
  pids,
  prompt,
  service,
  standin,
  start,
  useComfyui,
} from '../support/comfyui-service.js';

useComfyui();

describe('faults of ComfyUI', () => {
  it('is killed: it is brought back, alone', async () => {
    await boot();
    const [killed = 0, other = 0] = await start(0, 1);
    process.kill(killed, 'SIGKILL');
    await service.until(async () => (await service.placements()).includes('chane_face@0:STARTING'), 2000);
    await service.untilRunning('chane_face@0', 'chane_face@1');
    const [back, same] = await pids();
    expect(back).not.toBe(killed);
    expect(same).toBe(other);
  });

  it('freezes: it is ended by force and started anew', async () => {
    await boot({ config: { liveness: { deadline_seconds: 1.5 } } });
    const [frozen = 0] = await start(0);
    process.kill(frozen, 'SIGSTOP');
    await service.until(async () => {
      const alive = await service.serverPids();
      return alive.length === 1 && alive[0] !== frozen;
    }, 15_000);
    await service.untilRunning('chane_face@0');
    expect(() => process.kill(frozen, 0)).toThrow('ESRCH');
  });

  it('cannot be imported: ERROR with what its traceback says, and a start after the repair', async () => {
    await boot({ behaviour: { import_fails: true } });
    await service.start('chane_face', 0);
    const error = await service.untilError('chane_face');
    expect(error.code).toBe('SERVER_LOST');
    expect(error.message).toMatch(/ended with exit code 1: ModuleNotFoundError: No module named 'torchsde'/);
    expect(error.log?.join('\n')).toMatch(/Traceback \(most recent call last\):\n {2}File/);
    expect(await launches()).toBe(1);
    await standin.behave({});
    await start(0);
  });

  it('has no frontend: ERROR with its own words after one launch, though it ends with -1', async () => {
    await boot({ behaviour: { frontend_missing: true } });
    await service.start('chane_face', 0);
    const error = await service.untilError('chane_face');
    expect(error.message).toMatch(/ended with exit code 255: comfyui-frontend-package is not installed\.$/);
    expect(await launches()).toBe(1);
  });

  it('is killed while it serves, and cannot be imported any more: ERROR after one more launch', async () => {
    await boot({ config: { restart: { initial_delay_ms: 50, max_attempts: 5 } } });
    const [killed = 0] = await start(0);
    await standin.behave({ import_fails: true });
    process.kill(killed, 'SIGKILL');
    expect((await service.untilError('chane_face')).message).toMatch(/ModuleNotFoundError/);
    expect(await launches()).toBe(2);
  });

  it('is killed in the middle of its import: launched again, whatever its log says', async () => {
    await boot({ behaviour: { import_fails: true, fails_by: 'SIGKILL' } });
    await service.start('chane_face', 0);
    const error = await service.untilError('chane_face');
    expect(error.message).toMatch(/exit code 137 .*ModuleNotFoundError/);
    expect(await launches()).toBe(3);
  });

  it.each([
    [{ device: { type: 'cpu', name: 'cpu' } }, 'gpu', /GPU 0, and says that it runs on "cpu"/],
    [{ device: { name: 'cuda:0 Other GPU : native' } }, 'gpu', /which is no Simulated GPU/],
    [{ device: { vram_total: 8 * 1024 ** 3 } }, 'gpu', /8192 MiB, where 24576 MiB/],
    [{ device: { type: 'cuda', name: 'cuda:0 Simulated GPU' } }, 'cpu', /the CPU, and says/],
  ])('reports another device (%j): ERROR, and the server does not stay', async (behaviour, device, words) => {
    await boot({ behaviour, section: { device } });
    await service.start('chane_face', 0);
    const error = await service.untilError('chane_face');
    expect(error.code).toBe('WRONG_DEVICE');
    expect(error.message).toMatch(words);
    await service.until(async () => (await processesOf(service.stateDir)).length === 0);
    expect(await service.placements()).toEqual([]);
  });

  it('never opens its port: ERROR at start_timeout_seconds, and nothing stays', async () => {
    await boot({ behaviour: { never_up: true }, section: { start_timeout_seconds: 1 } });
    await service.start('chane_face', 0);
    const error = await service.untilError('chane_face');
    expect(error.code).toBe('BACKEND_TIMEOUT');
    expect(error.message).toMatch(/start_timeout_seconds/);
    await service.until(async () => (await processesOf(service.stateDir)).length === 0);
  });

  it('serves on while the service is killed, and is found again', async () => {
    await boot();
    const [before] = await start(0);
    await service.end('SIGKILL');
    await prompt();
    await service.boot();
    await service.untilRunning('chane_face@0');
    expect(await pids()).toEqual([before]);
    expect(await images()).toHaveLength(1);
    await service.stop('chane_face', 0);
    await expectNothingLeft();
  });

  it('is an orphan when the state was lost, and removed after the grace', async () => {
    await boot({ config: { orphans: { interval_seconds: 1, grace_seconds: 1 } } });
    await start(0);
    await service.end('SIGKILL');
    await rm(join(service.stateDir, 'desired-state.json'));
    await service.boot();
    await service.until(async () => {
      const { body } = await service.get<{ server_name: string }[]>('/api/v1/models/orphans');
      return body.some(({ server_name: name }) => name === 'comfyui_chane_face_0');
    });
    await service.until(async () => (await processesOf(service.stateDir)).length === 0, 15_000);
  });
});
