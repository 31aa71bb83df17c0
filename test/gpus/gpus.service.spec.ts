import { GpuReadError } from '../../src/gpus/gpu-provider.js';
import { GpusService } from '../../src/gpus/gpus.service.js';
import { configWith, FakeClock, ManualProvider, sample } from './rig.js';

const MAX_AGE_MS = 1000;

function setUp() {
  const provider = new ManualProvider();
  const clock = new FakeClock();
  return {
    provider,
    clock,
    gpus: new GpusService(provider, clock, configWith({ sample_max_age_ms: MAX_AGE_MS })),
  };
}

/** Lets everything happen that waits for nothing but promises. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('a reading', () => {
  it('serves everybody who asks while it is under way', async () => {
    const { provider, gpus } = setUp();
    const callers = [gpus.list(), gpus.list(), gpus.inventory()];
    provider.gives(sample());
    await Promise.all(callers);
    expect(provider.asked).toBe(1);
  });

  it('serves everybody until it is too old, and no longer', async () => {
    const { provider, clock, gpus } = setUp();
    const first = gpus.list();
    provider.gives(sample({ temperature: 50 }));
    await first;
    clock.ms += MAX_AGE_MS - 1;
    expect(await gpus.list()).toMatchObject([{ temperature: 50 }]);
    expect(provider.asked).toBe(1);
    clock.ms += 1;
    const second = gpus.list();
    provider.gives(sample({ temperature: 60 }));
    expect(await second).toMatchObject([{ temperature: 60 }]);
    expect(provider.asked).toBe(2);
  });

  it('that fails fails for all who wait, and is not kept', async () => {
    const { provider, gpus } = setUp();
    const callers = Promise.allSettled([gpus.list(), gpus.list()]);
    const error = new GpuReadError('no driver');
    provider.fails(error);
    expect(await callers).toEqual([
      { status: 'rejected', reason: error },
      { status: 'rejected', reason: error },
    ]);
    const next = gpus.list();
    provider.gives(sample());
    expect(await next).toHaveLength(1);
  });

  it('that fails does not make an older one look fresh', async () => {
    const { provider, clock, gpus } = setUp();
    const first = gpus.list();
    provider.gives(sample());
    await first;
    clock.ms += MAX_AGE_MS;
    const second = gpus.list();
    provider.fails(new GpuReadError('no driver'));
    await expect(second).rejects.toThrow('no driver');
    void gpus.list();
    expect(provider.asked).toBe(3);
  });
});

/** What a `sample()` says of its GPU, apart from what it does. */
const FACTS = { name: 'NVIDIA Fake', memoryTotalMiB: 24_564 };

describe('the inventory', () => {
  it('waits for the first reading only', async () => {
    const { provider, clock, gpus } = setUp();
    const first = gpus.inventory();
    provider.gives(sample(), sample({ id: 1, uuid: 'GPU-b' }));
    const expected = [
      { id: 0, uuid: 'GPU-a', ...FACTS },
      { id: 1, uuid: 'GPU-b', ...FACTS },
    ];
    expect(await first).toEqual(expected);

    clock.ms += 10 * MAX_AGE_MS;
    // The provider never answers this one, and the inventory is there all the same.
    expect(await gpus.inventory()).toEqual(expected);
    expect(await gpus.inventory()).toEqual(expected);
    expect(provider.asked).toBe(2);
  });

  it('is renewed in the background', async () => {
    const { provider, clock, gpus } = setUp();
    const first = gpus.inventory();
    provider.gives(sample());
    await first;
    clock.ms += MAX_AGE_MS;
    await gpus.inventory();
    provider.gives(sample(), sample({ id: 1, uuid: 'GPU-b' }));
    await settled();
    expect(await gpus.inventory()).toHaveLength(2);
  });

  it('outlives a failed reading', async () => {
    const { provider, clock, gpus } = setUp();
    const first = gpus.inventory();
    provider.gives(sample());
    await first;
    clock.ms += MAX_AGE_MS;
    await gpus.inventory();
    provider.fails(new GpuReadError('no driver'));
    await settled();
    expect(await gpus.inventory()).toEqual([{ id: 0, uuid: 'GPU-a', ...FACTS }]);
  });

  it('remembers who a GPU is that cannot be read any more', async () => {
    const { provider, clock, gpus } = setUp();
    const first = gpus.list();
    provider.gives(sample());
    await first;
    clock.ms += MAX_AGE_MS;
    const second = gpus.list();
    provider.gives(sample({ uuid: null, name: null, memoryTotalMiB: null, error: 'lost' }));
    await second;
    expect(await gpus.inventory()).toEqual([{ id: 0, uuid: 'GPU-a', ...FACTS }]);
  });

  it('throws while nothing was ever read', async () => {
    const { provider, gpus } = setUp();
    const first = gpus.inventory();
    provider.fails(new GpuReadError('no driver'));
    await expect(first).rejects.toThrow('no driver');
  });
});

describe('the end of the service', () => {
  it('aborts the reading under way and closes the provider once', async () => {
    const { provider, gpus } = setUp();
    void gpus.list();
    await gpus.onApplicationShutdown();
    await gpus.onApplicationShutdown();
    expect(provider.signals[0]?.aborted).toBe(true);
    expect(provider.closed).toBe(1);
  });
});
