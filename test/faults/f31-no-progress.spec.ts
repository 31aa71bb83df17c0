import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ServiceSettings, TestService } from '../support/service.js';

jest.setTimeout(60_000);

const PROGRESS = { progress_seconds: 1.5 };

interface Item {
  readonly gpu_id: number;
  readonly status: string;
  readonly degraded?: string;
}

let service: TestService;
let asking = new AbortController();

afterEach(async () => {
  asking.abort();
  await service.dispose();
});

async function boot(settings: ServiceSettings): Promise<void> {
  service = await TestService.create({
    ...settings,
    config: {
      health: { fast_interval_ms: 50, slow_interval_ms: 100 },
      restart: { initial_delay_ms: 50, max_delay_ms: 100, max_attempts: 2 },
      liveness: PROGRESS,
      ...settings.config,
    },
  });
  await service.boot();
}

const statusOf = async (model: string): Promise<Item | undefined> =>
  (await service.get<Item[]>(`/api/v1/models/status/${model}`)).body[0];

const degradedOf = async (model: string): Promise<string | undefined> => (await statusOf(model))?.degraded;

/** Somebody asks the model again and again, and counts the answers by their status, until the case ends. */
function keepAsking(model: string, values = [1, 2, 3, 4]): Map<number, number> {
  asking = new AbortController();
  const { signal } = asking;
  const answers = new Map<number, number>();
  const ask = async (): Promise<void> => {
    while (!signal.aborted) {
      const status = await service.infer(model, values).then(
        (answer) => answer.status,
        () => 0,
      );
      answers.set(status, (answers.get(status) ?? 0) + 1);
      await sleep(50);
    }
  };
  void ask();
  return answers;
}

const linesWith = (event: string, model: string): string[] =>
  service.log
    .split('\n')
    .filter((line) => line.includes(`"event":"${event}"`) && line.includes(`"${model}"`));

describe('F31: a model answers, and gets nothing done', () => {
  it('as its Python process is dead: it is degraded, then loaded anew in the server that stays, and serves', async () => {
    await boot({
      models: { MAM: { load_seconds: 0.1, stub_dies_after: 4 }, FastFitAll: { load_seconds: 0.1 } },
      triton: { model_gpu_configs: { MAM: { instances_per_gpu: 1 } } },
    });
    await service.start('MAM', 0);
    await service.start('FastFitAll', 1);
    await service.untilRunning('MAM@0', 'FastFitAll@1');
    const pids = await service.serverPids();
    const answers = keepAsking('MAM');
    await service.until(async () => (await degradedOf('MAM')) !== undefined);
    expect(await statusOf('MAM')).toMatchObject({
      status: 'RUNNING',
      degraded: expect.stringMatching(
        /^no request has succeeded for \d+ s, and \d+ have failed in the backend$/,
      ),
    });
    expect(await degradedOf('FastFitAll')).toBeUndefined();
    const before = answers.get(200) ?? 0;
    await service.until(() => Promise.resolve((answers.get(200) ?? 0) > before));
    expect(await service.loadsOf('MAM')).toBe(2);
    expect(await service.loadsOf('FastFitAll')).toBe(1);
    expect(await service.serverPids()).toEqual(pids);
    expect(linesWith('degraded', 'MAM')[0]).toContain('"level":"warn"');
    expect(linesWith('healing', 'MAM')[0]).toContain('its model was ended, and is started anew');
    await service.untilRunning('MAM@0', 'FastFitAll@1');
  });

  it('as an execution never returns: it is degraded, and its server is started anew, as the model cannot go', async () => {
    await boot({
      models: { MAM: { load_seconds: 0.1, hang_infer_after: 2 }, FastFitAll: { load_seconds: 0.1 } },
      triton: { model_gpu_configs: { MAM: { instances_per_gpu: 1 } } },
    });
    await service.start('MAM', 0);
    await service.start('FastFitAll', 1);
    await service.untilRunning('MAM@0', 'FastFitAll@1');
    const [pid] = await service.serverPids();
    for (let request = 0; request < 2; request += 1) {
      expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    }
    const hung = [1, 2].map(() => service.infer('MAM', [1, 2, 3, 4]).catch(() => undefined));
    await service.until(async () => (await degradedOf('MAM')) !== undefined);
    expect(await degradedOf('MAM')).toMatch(/^nothing was done for \d+ s, and a request waits$/);
    await service.until(async () => {
      const [now] = await service.serverPids();
      return now !== undefined && now !== pid;
    }, 20_000);
    await Promise.all(hung);
    await service.untilRunning('MAM@0', 'FastFitAll@1');
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    expect((await service.infer('FastFitAll', [1, 2, 3, 4])).status).toBe(200);
  });

  it('as the model that it calls was stopped: it is degraded, loaded anew a few times and no more, until that is back', async () => {
    await boot({
      models: { MAM: { load_seconds: 0.05, calls: 'FastFitAll' }, FastFitAll: { load_seconds: 0.05 } },
    });
    await service.start('MAM', 0);
    await service.start('FastFitAll', 1);
    await service.untilRunning('MAM@0', 'FastFitAll@1');
    await service.stop('FastFitAll', 1);
    const pids = await service.serverPids();
    keepAsking('MAM');
    await service.until(async () => (await degradedOf('MAM'))?.endsWith('left as it is') === true, 30_000);
    expect(await degradedOf('MAM')).toMatch(
      /^no request has succeeded .* have failed in the backend; started anew 2 times in vain, and left as it is$/,
    );
    const calm = performance.now() + 5000;
    await service.until(async () => {
      expect((await statusOf('MAM'))?.status).toBe('RUNNING');
      return performance.now() > calm;
    });
    expect(await service.loadsOf('MAM')).toBe(3);
    expect(await service.serverPids()).toEqual(pids);
    await service.start('FastFitAll', 1);
    await service.until(async () => (await degradedOf('MAM')) === undefined);
    expect(await service.loadsOf('MAM')).toBe(3);
  });

  it('of which only the clients are to blame: nothing happens', async () => {
    await boot({ models: { MAM: { load_seconds: 0.1 } } });
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const answers = keepAsking('MAM', [1, 2, 3]);
    const until = performance.now() + 6000;
    await service.until(async () => {
      expect(await degradedOf('MAM')).toBeUndefined();
      return performance.now() > until;
    });
    expect([...answers.keys()]).toEqual([400]);
    expect(await service.loadsOf('MAM')).toBe(1);
  });

  it('but works on long requests, which are as long as the model says: nothing happens', async () => {
    await boot({
      models: { MAM: { load_seconds: 0.1, infer_ms: 4000 } },
      triton: {
        model_gpu_configs: {
          default: { instances_per_gpu: 1 },
          MAM: { instances_per_gpu: 1, liveness: { deadline_seconds: 10 } },
        },
      },
    });
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const answers = Promise.all([1, 2, 3].map(() => service.infer('MAM', [1, 2, 3, 4])));
    let isDone = false;
    void answers.finally(() => (isDone = true));
    await service.until(async () => {
      expect(await degradedOf('MAM')).toBeUndefined();
      return isDone;
    }, 20_000);
    expect((await answers).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(await service.loadsOf('MAM')).toBe(1);
  });
});
