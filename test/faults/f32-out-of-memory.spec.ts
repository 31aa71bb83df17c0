import { afterEach, describe, expect, it } from '@jest/globals';
import { DockerTestService } from '../support/docker-service.js';

const WORDS = 'out of memory: memory_limit is 512 MiB';

let house: DockerTestService;

afterEach(() => house.dispose());

async function boot(maxAttempts: number): Promise<string> {
  house = await DockerTestService.boot({
    models: {
      MAM: { load_seconds: 0.1 },
      FastFitAll: { load_seconds: 0.1, fail_load: 'failed to start the stub' },
    },
    triton: { memory_limit: '512m' },
    config: {
      health: { fast_interval_ms: 50, slow_interval_ms: 100 },
      restart: { initial_delay_ms: 50, max_attempts: maxAttempts },
    },
  });
  await house.service.start('MAM', 0);
  await house.service.untilRunning('MAM@0');
  return house.engine.running()[0]?.[0] ?? '';
}

const isInLog = (words: string): boolean =>
  house.service.log.split('\n').some((line) => line.includes('"level":"warn"') && line.includes(words));

describe('F32: a container hits its memory limit', () => {
  it('and dies: the log says so with the limit, and it is the cause of the ERROR', async () => {
    const id = await boot(0);
    house.engine.runOutOfMemory(id);
    await house.service.until(() => Promise.resolve(isInLog(`triton_server is ${WORDS}`)));
    expect(await house.service.placements()).toEqual(['MAM@0:RUNNING']);
    await house.engine.kill(id);
    const { message } = await house.service.untilError('MAM');
    expect(message).toContain(`(${WORDS})`);
  });

  it('and lives on without one of its processes: it is part of the cause of the load that fails next', async () => {
    const id = await boot(5);
    house.engine.runOutOfMemory(id);
    await house.service.until(() => Promise.resolve(isInLog(WORDS)));
    await house.service.start('FastFitAll', 1);
    const { message } = await house.service.untilError('FastFitAll');
    expect(message).toMatch(/^Triton could not load FastFitAll: .*failed to start the stub/);
    expect(message).toContain(`(triton_server was ${WORDS})`);
    expect(await house.service.placements()).toEqual(['MAM@0:RUNNING']);
  });
});
