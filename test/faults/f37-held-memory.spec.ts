import { afterEach, describe, expect, it } from '@jest/globals';
import { TestService } from '../support/service.js';

let service: TestService;

afterEach(() => service.dispose());

const QUICK = { load_seconds: 0.1, unload_seconds: 0.05 };

describe('F37: a shared Triton that keeps memory of models that have left', () => {
  /** FastFitAll serves on beside MAM, which is stopped. */
  async function stopOneOfTwo(recycleHeldMb: number | null): Promise<{ before: number[]; heldMb: number }> {
    const models = { MAM: QUICK, FastFitAll: QUICK };
    service = await TestService.create({ models, triton: { recycle_held_mb: recycleHeldMb } });
    await service.boot();
    await service.start('MAM', 0);
    await service.start('FastFitAll', 0);
    await service.untilRunning('FastFitAll@0', 'MAM@0');
    const before = await service.serverPids();
    const stopped = await service.call<{ gpu_memory: { held_mb: number } }>('POST', '/api/v1/models/stop', {
      model_name: 'MAM',
      gpu_id: 0,
    });
    return { before, heldMb: stopped.body.gpu_memory.held_mb };
  }

  it('is started anew when no request comes, and not before', async () => {
    const { before, heldMb } = await stopOneOfTwo(1);
    expect(heldMb).toBeGreaterThan(1);
    const until = performance.now() + 6000;
    while (performance.now() < until) {
      expect((await service.infer('FastFitAll', [1, 2, 3, 4])).status).toBe(200);
    }
    expect(await service.serverPids()).toEqual(before);
    await service.until(async () => {
      const now = await service.serverPids();
      return now.length === 1 && now[0] !== before[0];
    }, 15_000);
    await service.untilRunning('FastFitAll@0');
    expect(service.log).toContain('A server holds more memory after a stop than it may');
    expect((await service.infer('FastFitAll', [1, 2, 3, 4])).status).toBe(200);
    expect(await service.loadsOf('FastFitAll')).toBe(2);
  });

  it('goes on where it may keep it', async () => {
    const { before } = await stopOneOfTwo(null);
    await new Promise((resolve) => setTimeout(resolve, 7000));
    expect(await service.serverPids()).toEqual(before);
    expect(await service.placements()).toEqual(['FastFitAll@0:RUNNING']);
  });
});
