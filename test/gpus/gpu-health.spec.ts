import type { Config } from '../../src/config/schema.js';
import type { GpuSample } from '../../src/gpus/gpu-provider.js';
import { GpusService } from '../../src/gpus/gpus.service.js';
import { faultsIn, LOST, RESET_REQUIRED, THROTTLE_BITS } from '../../src/gpus/health/faults.js';
import { GpuCordons } from '../../src/gpus/health/gpu-cordons.js';
import { GpuHealth } from '../../src/gpus/health/gpu-health.js';
import { recordingLogger } from '../fakes/house.js';
import { MemoryCordonsStore } from '../fakes/memory-cordons-store.js';
import { configWith, FakeClock, ManualProvider, sample } from './rig.js';

const HOT = faultsIn({ clockReasons: THROTTLE_BITS.hw_thermal });
const GPU = { id: 0, uuid: 'GPU-a' };

let clock: FakeClock;
let provider: ManualProvider;
let gpus: GpusService;
let cordons: GpuCordons;
let store: MemoryCordonsStore;
let health: GpuHealth;
let lines: Record<string, unknown>[];

function build(change: Partial<Config['gpus']['health']> = {}, kept = new MemoryCordonsStore()): void {
  const config = configWith({ sample_max_age_ms: 0 });
  const settings = { ...config, gpus: { ...config.gpus, health: { ...config.gpus.health, ...change } } };
  clock = new FakeClock();
  provider = new ManualProvider();
  gpus = new GpusService(provider, clock, settings);
  store = kept;
  const recording = recordingLogger();
  lines = recording.lines;
  const { logger } = recording;
  cordons = new GpuCordons(store, gpus, clock, logger);
  health = new GpuHealth(cordons, gpus, clock, settings, logger);
}

beforeEach(() => {
  build();
});

/** A reading of this GPU, some seconds later, beside one that is well. */
async function reads(over: Partial<GpuSample> = {}, seconds = 5): Promise<void> {
  clock.ms += seconds * 1000;
  const reading = gpus.readAnew();
  await Promise.resolve();
  provider.gives(sample(over), sample({ id: 1, uuid: 'GPU-b' }));
  await reading;
  expect(health.of({ id: 1, uuid: 'GPU-b' }).status).toBe('ok');
}

/** Status and reason of the GPU. */
const told = () => [health.of(GPU).status, health.of(GPU).reason];

describe('a GPU is cordoned by this service', () => {
  it.each<[string, Partial<GpuSample>, string]>([
    ['lost', { error: 'cannot be read', faults: [LOST] }, 'GPU is lost'],
    ['memory errors', { faults: faultsIn({ eccUncorrected: 2 }) }, 'uncorrectable memory errors'],
    ['a row that cannot be remapped', { faults: faultsIn({ remapFailure: true }) }, 'could not be remapped'],
    ['a row that waits for a reset', { faults: faultsIn({ remapPending: true }) }, 'takes a reset'],
    ['pages that wait for a reset', { faults: faultsIn({ retiredPagesPending: true }) }, 'takes a reset'],
    ['a hardware Xid', { xids: [13, 79] }, 'Xid 79 (the GPU has fallen off the bus)'],
  ])('for %s, which stays after it is gone', async (_name, bad, reason) => {
    await reads();
    expect(told()).toEqual(['ok', null]);
    await reads(bad);
    await reads();
    await reads({}, 3600);
    expect(told()).toEqual(['cordoned', expect.stringContaining(reason)]);
    expect(health.of(GPU).by).toBe('service');
    expect(store.saved.cordons).toMatchObject([{ gpu_uuid: 'GPU-a', by: 'service' }]);
  });

  it.each([8, 13, 31, 32, 43, 45, 63, 68, 69, 109])(
    'and not for Xid %i, which tells of a program',
    async (xid) => {
      await reads({ xids: [xid] });
      expect(told()).toEqual(['ok', null]);
    },
  );

  it('and not for an Xid that the configuration ignores, or a reading that fails otherwise', async () => {
    build({ ignored_xids: [74] });
    await reads({ xids: [74] });
    await reads({ error: 'temperature: Unknown Error' });
    expect(told()).toEqual(['ok', null]);
  });

  it('with each reason once, beside that of an operator', async () => {
    await reads();
    await cordons.cordon(GPU, 'its fan rattles');
    await reads({ xids: [79] });
    await reads({ xids: [79, 48] });
    expect(told()).toEqual([
      'cordoned',
      'its fan rattles; Xid 79 (the GPU has fallen off the bus); Xid 48 (double-bit memory error)',
    ]);
    expect(health.of(GPU).by).toBe('operator');
  });

  it('under its UUID, where it tells none any more, and under the one it tells later', async () => {
    await reads();
    await reads({ uuid: null, error: 'lost', faults: [LOST] });
    expect(store.saved.cordons).toMatchObject([{ gpu_uuid: 'GPU-a' }]);
    build();
    await reads({ uuid: null, error: 'lost', faults: [LOST] });
    expect(store.saved.cordons).toMatchObject([{ gpu_uuid: null, gpu_id: 0 }]);
    await reads();
    expect(store.saved.cordons).toMatchObject([{ gpu_uuid: 'GPU-a', gpu_id: 0 }]);
  });

  it('also where that cannot be written', async () => {
    store.isFull = true;
    await reads({ xids: [79] });
    expect(told()[0]).toBe('cordoned');
  });
});

describe('a throttle', () => {
  it('of clocks by heat or the power supply is bad when it stays, and passes by itself', async () => {
    await reads({ faults: HOT });
    await reads({ faults: HOT }, 299);
    expect(told()).toEqual(['ok', null]);
    await reads({ faults: HOT }, 1);
    expect(told()).toEqual(['cordoned', expect.stringMatching(/throttled: too hot.*, for 300 s/)]);
    await reads();
    await reads({}, 59);
    expect(told()[0]).toBe('cordoned');
    await reads({}, 1);
    expect(told()).toEqual(['ok', null]);
    expect(store.saved.cordons).toEqual([]);
  });

  it('that comes and goes has not stayed; a reading that fails tells nothing of it', async () => {
    for (let times = 0; times < 5; times += 1) {
      await reads({ faults: HOT }, 200);
      await reads({}, 50);
    }
    expect(told()).toEqual(['ok', null]);
    await reads({ faults: HOT });
    await reads({ error: 'GPU 0 cannot be read' }, 200);
    await reads({ faults: HOT }, 100);
    expect(told()[0]).toBe('cordoned');
  });

  it('that passes ends no cordon that has another cause, or is an operator’s', async () => {
    await reads({ faults: HOT });
    await reads({ faults: HOT, xids: [79] }, 300);
    await reads();
    await reads({}, 300);
    expect(told()[0]).toBe('cordoned');
    build();
    await reads({ faults: HOT });
    await reads({ faults: HOT }, 300);
    await cordons.cordon(GPU, undefined);
    await reads();
    await reads({}, 300);
    expect(health.of(GPU)).toMatchObject({ status: 'cordoned', by: 'operator' });
  });

  it('by a power cap that software set, an idle GPU or a clock setting is none; 0 s: nobody looks', async () => {
    expect(faultsIn({ clockReasons: 0x1 | 0x2 | 0x4 | 0x10 | 0x100 })).toEqual([]);
    build({ throttle_seconds: 0 });
    await reads({ faults: HOT });
    await reads({ faults: HOT }, 1000);
    expect(told()).toEqual(['ok', null]);
  });

  it('passes after a restart of the service, too', async () => {
    await reads({ faults: HOT });
    await reads({ faults: HOT }, 300);
    build({}, store);
    await cordons.onModuleInit();
    await reads();
    expect(told()[0]).toBe('cordoned');
    await reads({}, 60);
    expect(told()).toEqual(['ok', null]);
  });
});

describe('an operator who ends a cordon', () => {
  const ecc = (eccUncorrected: number) => ({ faults: faultsIn({ eccUncorrected }) });

  it('knows of the faults there are: they cordon it no more, also after a restart; more of them do', async () => {
    await reads(ecc(2));
    await health.uncordon(GPU);
    await reads(ecc(2));
    expect(told()).toEqual(['ok', null]);
    build({}, store);
    await cordons.onModuleInit();
    await reads(ecc(2));
    expect(told()).toEqual(['ok', null]);
    await reads(ecc(3));
    expect(told()[0]).toBe('cordoned');
  });

  it('knows nothing of those that come after the count began anew', async () => {
    await reads(ecc(2));
    await health.uncordon(GPU);
    await reads();
    await reads(ecc(1));
    expect(told()[0]).toBe('cordoned');
  });

  it('has it cordoned again by the next Xid, the next loss, and a throttle that goes on', async () => {
    await reads({ xids: [79] });
    await health.uncordon(GPU);
    await reads({ xids: [79] });
    expect(told()[0]).toBe('cordoned');
    await health.uncordon(GPU);
    await reads({ error: 'lost', faults: [LOST] });
    await health.uncordon(GPU);
    await reads({ error: 'lost', faults: [LOST] });
    expect(told()[0]).toBe('unhealthy');
    await reads();
    expect(told()).toEqual(['ok', null]);
    await reads({ error: 'lost', faults: [LOST] });
    expect(told()[0]).toBe('cordoned');
    await health.uncordon(GPU);
    await reads({ faults: HOT });
    await reads({ faults: HOT }, 300);
    expect(told()[0]).toBe('cordoned');
    await health.uncordon(GPU);
    await reads({ faults: HOT }, 299);
    expect(told()).toEqual(['ok', null]);
  });
});

describe('a GPU that is still bad when its cordon is ended', () => {
  it.each<[string, Partial<GpuSample>, string]>([
    ['lost', { error: 'cannot be read', faults: [LOST] }, 'GPU is lost'],
    ['in need of a reset', { error: 'cannot be read', faults: [RESET_REQUIRED] }, 'needs a reset'],
    ['with a row that cannot be remapped', { faults: faultsIn({ remapFailure: true }) }, 'be remapped'],
    ['with pages that wait', { faults: faultsIn({ retiredPagesPending: true }) }, 'takes a reset'],
  ])('%s, is unhealthy for as long, and takes starts, also after a restart', async (_name, bad, reason) => {
    await reads(bad);
    clock.ms = 60_000;
    await health.uncordon(GPU);
    const words: unknown = expect.stringMatching(new RegExp(`${reason}.*an operator has ended its cordon`));
    const still = { status: 'unhealthy', reason: words, by: null };
    expect(health.of(GPU)).toMatchObject({ ...still, since: new Date(5000).toISOString() });
    build({}, store);
    await cordons.onModuleInit();
    await reads(bad);
    expect(health.of(GPU)).toMatchObject(still);
    expect(cordons.refusal([GPU])).toBeUndefined();
    await reads();
    expect(health.of(GPU)).toEqual({ status: 'ok', reason: null, since: null, by: null });
  });
});

describe('the log', () => {
  it('says who has cordoned and uncordoned a GPU, and by which request', async () => {
    await reads();
    await cordons.cordon(GPU, 'its fan rattles', 'req-1');
    await health.uncordon(GPU, 'req-2');
    await reads({ xids: [79] });
    expect(
      lines.filter(({ msg }) => String(msg).includes('cordoned')).map(({ by, request }) => [by, request]),
    ).toEqual([
      ['operator', 'req-1'],
      ['operator', 'req-2'],
      ['service', undefined],
    ]);
  });
});

describe('with auto_cordon off', () => {
  beforeEach(() => {
    build({ auto_cordon: false });
  });

  it('a bad GPU is only told, and well again when its readings are; an Xid stays until an operator has looked', async () => {
    await reads({ faults: faultsIn({ eccUncorrected: 1 }) });
    expect(health.of(GPU)).toEqual({
      status: 'unhealthy',
      reason: 'uncorrectable memory errors (ECC)',
      since: new Date(5000).toISOString(),
      by: null,
    });
    expect(cordons.refusal([GPU])).toBeUndefined();
    await reads();
    expect(told()).toEqual(['ok', null]);
    await reads({ xids: [79] });
    await reads();
    expect(told()).toEqual(['unhealthy', 'Xid 79 (the GPU has fallen off the bus)']);
    await health.uncordon(GPU);
    await reads();
    expect(told()).toEqual(['ok', null]);
  });
});
