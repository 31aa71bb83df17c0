import { afterEach, describe, expect, it } from '@jest/globals';
import { DockerTestService } from '../support/docker-service.js';

const GPUS = 'GPU 0: Simulated GPU (UUID: GPU-00000000-0000-0000-0000-000000000000)\n';
const LOST = 'Failed to initialize NVML: Unknown Error\n';

let house: DockerTestService;

afterEach(() => house.dispose());

/** Two models on one Triton, in a container that is asked every second. */
async function boot(): Promise<string> {
  house = await DockerTestService.boot({
    config: {
      health: { fast_interval_ms: 50, slow_interval_ms: 100 },
      liveness: { gpu_check_seconds: 1 },
      restart: { initial_delay_ms: 50, max_attempts: 2 },
    },
  });
  house.engine.fake.smi = () => GPUS;
  await house.service.start('MAM', 0);
  await house.service.start('FastFitAll', 1);
  await house.service.untilRunning('FastFitAll@1', 'MAM@0');
  return house.engine.running()[0]?.[0] ?? '';
}

interface Item {
  readonly degraded?: string;
  readonly last_crash?: { readonly message: string };
}

async function itemOf(model: string): Promise<Item | undefined> {
  const { body } = await house.service.get<Item[]>(`/api/v1/models/status/${model}`);
  return body[0];
}

describe('F39: a container loses its GPUs while it runs (systemctl daemon-reload)', () => {
  it('is created anew with all that it served, and says why', async () => {
    const first = await boot();
    house.engine.fake.smi = (id) => (id === first ? LOST : GPUS);
    await house.service.until(async () => {
      const [id] = house.engine.running()[0] ?? [];
      return id !== undefined && id !== first && (await house.service.placements()).length === 2;
    });
    await house.service.untilRunning('FastFitAll@1', 'MAM@0');
    for (const model of ['MAM', 'FastFitAll']) {
      expect((await house.service.infer(model, [1, 2, 3, 4])).status).toBe(200);
    }
    const crashes = await Promise.all(['MAM', 'FastFitAll'].map(itemOf));
    expect(crashes.some((item) => item?.last_crash?.message.includes('reaches its GPUs no more'))).toBe(true);
    expect(house.service.log).toContain('Failed to initialize NVML: Unknown Error');
    // One end of it was enough, whoever saw it.
    expect(house.engine.changes().filter((request) => request.includes('/containers/create'))).toHaveLength(
      2,
    );
  });

  it('for good is left degraded after its tries', async () => {
    await boot();
    house.engine.fake.smi = () => LOST;
    await house.service.until(
      async () => (await itemOf('MAM'))?.degraded?.includes('in vain') === true,
      40_000,
    );
    await house.service.until(
      async () => (await itemOf('MAM'))?.degraded?.includes('left as it is') === true,
      40_000,
    );
  }, 90_000);

  it.each([
    ['an image without nvidia-smi', undefined],
    ['a driver that was updated', 'Failed to initialize NVML: Driver/library version mismatch\n'],
  ])('is not what %s looks like', async (_name, output) => {
    const first = await boot();
    house.engine.fake.smi = () => output;
    const asked = house.engine.fake.execs.length;
    await house.service.until(() => Promise.resolve(house.engine.fake.execs.length > asked + 5));
    expect(house.engine.running()[0]?.[0]).toBe(first);
    expect((await itemOf('MAM'))?.degraded).toBeUndefined();
  });
});
