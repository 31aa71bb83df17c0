import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TestService } from '../support/service.js';

/** Answers that are none. */
const NONSENSE = ['text', 'null', 'deep', 'error-body', 'redirect', 'endless', 'endless-headers', 'no-http'];
let service: TestService;
let pid: number;
let heapMiB: number;

const answers = (way: string): Promise<void> => writeFile(join(service.directory, 'mode'), way);

async function residentMiB(): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

/** Not RUNNING at any time; every other read is answered as ever. */
async function expectNotRunningFor(ms: number): Promise<void> {
  const end = performance.now() + ms;
  await service.until(async () => {
    const asked = performance.now();
    expect(await service.placements()).not.toContain('MAM@0:RUNNING');
    expect((await service.get('/api/v1/gpus')).status).toBe(200);
    expect(performance.now() - asked).toBeLessThan(1000);
    return performance.now() > end;
  });
}

beforeAll(async () => {
  service = await TestService.create({
    config: {
      liveness: { deadline_seconds: 1 },
      health: { fast_interval_ms: 50, slow_interval_ms: 100, probe_timeout_ms: 300 },
      restart: { initial_delay_ms: 50, max_attempts: 100 },
    },
  });
  await service.configure({
    runners: {
      triton: {
        command: [process.execPath, join(process.cwd(), 'test/fakes/rubbish-triton.mjs')],
        env: { MODE_FILE: join(service.directory, 'mode') },
        model_gpu_configs: { MAM: { instances_per_gpu: 1 }, default: {} },
        api_timeout_seconds: 1,
        server_start_timeout_seconds: 1,
      },
    },
  });
  await answers('good');
  await service.boot();
  pid = service.pid;
  heapMiB = await residentMiB();
});

afterAll(() => service.dispose());

beforeEach(() => answers('good'));

describe('F23: Triton answers rubbish', () => {
  it.each([...NONSENSE, 'half', 'hang'])(
    '%s, from its launch: the model is not RUNNING; it is when the answers are good',
    async (way) => {
      await answers(way);
      expect((await service.start('MAM', 0)).status).toBe(202);
      await expectNotRunningFor(500);
      await answers('good');
      await service.start('MAM', 0);
      await service.untilRunning('MAM@0');
      expect((await service.stop('MAM', 0)).status).toBe(200);
    },
  );
});

describe('F23: a Triton that serves begins to answer rubbish', () => {
  it.each([...NONSENSE, 'half', ...NONSENSE.map((way) => `${way} config`)])(
    '%s: it is RUNNING no more; it is when the answers are good',
    async (way) => {
      await service.start('MAM', 0);
      await service.untilRunning('MAM@0');
      await answers(way);
      await service.until(async () => !(await service.placements()).includes('MAM@0:RUNNING'), 4000);
      await answers('good');
      await service.untilRunning('MAM@0');
      expect((await service.stop('MAM', 0)).status).toBe(200);
    },
  );
});

describe('F23: after all that', () => {
  it('the service is the same process, and has not grown by what it was told', async () => {
    expect(service.pid).toBe(pid);
    expect((await service.get('/health/ready')).status).toBe(200);
    expect((await residentMiB()) - heapMiB).toBeLessThan(150);
    expect(service.log).not.toContain('The deployment worker failed');
  });
});
