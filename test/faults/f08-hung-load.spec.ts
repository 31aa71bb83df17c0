import { afterEach, describe, expect, it } from '@jest/globals';
import { TestService } from '../support/service.js';

const LIMIT_SECONDS = 2;
let service: TestService;

afterEach(() => service.dispose());

describe('F8: a load hangs for ever', () => {
  it('is ERROR at api_timeout_seconds; others on the same server start and stop before and after that', async () => {
    service = await TestService.create({
      models: {
        MAM: { load_seconds: 0.1 },
        FastFitAll: { load_seconds: 0.1 },
        Hung: { hang_load: true },
      },
      triton: { api_timeout_seconds: LIMIT_SECONDS },
    });
    await service.boot();
    await service.start('Hung', 0);
    const began = performance.now();
    await service.until(async () => (await service.tritonIndex()).some(({ state }) => state === 'LOADING'));
    await service.start('MAM', 1);
    await service.until(async () => (await service.placements()).includes('MAM@1:RUNNING'));
    expect(await service.placements()).toContain('Hung@0:STARTING');
    expect((await service.stop('MAM', 1)).status).toBe(200);
    await service.start('MAM', 1);

    expect(await service.untilError('Hung')).toMatchObject({
      code: 'BACKEND_TIMEOUT',
      message: expect.stringContaining(`within ${LIMIT_SECONDS} s`),
    });
    expect(performance.now() - began).toBeGreaterThan(LIMIT_SECONDS * 1000 - 100);
    await service.start('FastFitAll', 2);
    await service.untilRunning('FastFitAll@2', 'MAM@1');
    expect((await service.stop('FastFitAll', 2)).status).toBe(200);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    expect(await service.serverPids()).toHaveLength(1);
  });
});
