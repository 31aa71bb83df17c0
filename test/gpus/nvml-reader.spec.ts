import { readGpu } from '../../src/gpus/nvml/nvml-reader.js';
import { NvmlCode } from '../../src/gpus/nvml/nvml.js';
import { openNvml, sampleAll } from '../../src/gpus/nvml/nvml-session.js';
import { FakeNvml, fails, MIB, ok } from './fake-nvml.js';

const UNKNOWN_ERROR = 999;
const nameOf = (pid: number): string => `name-${pid}`;

describe('reading one GPU', () => {
  it('gives MiB, watts, percent and degrees', () => {
    expect(readGpu(new FakeNvml(), 3, nameOf)).toEqual({
      lost: false,
      sample: {
        id: 3,
        uuid: 'GPU-3',
        name: 'NVIDIA Fake',
        memoryTotalMiB: 1000,
        memoryUsedMiB: 250,
        utilization: 37,
        temperature: 54,
        powerDraw: 150.74,
        powerLimit: 350,
        processes: [],
        simulated: false,
      },
    });
  });

  it('lists a process once, whatever lists it is in, and keeps a memory that is told', () => {
    const nvml = new FakeNvml();
    nvml.lists = {
      Compute: [
        { pid: 20, usedMemory: 100 * MIB },
        { pid: 10, usedMemory: null },
      ],
      Graphics: [
        { pid: 20, usedMemory: 100 * MIB },
        { pid: 30, usedMemory: 5 * MIB },
      ],
      MPSCompute: [
        { pid: 20, usedMemory: null },
        { pid: 40, usedMemory: 7 * MIB },
      ],
    };
    expect(readGpu(nvml, 0, nameOf).sample.processes).toEqual([
      { pid: 10, name: 'name-10', memoryMiB: null },
      { pid: 20, name: 'name-20', memoryMiB: 100 },
      { pid: 30, name: 'name-30', memoryMiB: 5 },
      { pid: 40, name: 'name-40', memoryMiB: 7 },
    ]);
  });

  it.each([NvmlCode.NOT_SUPPORTED, NvmlCode.FUNCTION_NOT_FOUND, NvmlCode.NO_DATA])(
    'is null for a reading the device does not have (code %i), without an error',
    (code) => {
      const nvml = new FakeNvml();
      nvml.powerUsage = () => fails(code);
      const { sample } = readGpu(nvml, 0, nameOf);
      expect(sample).toMatchObject({ powerDraw: null, powerLimit: 350, temperature: 54 });
      expect(sample).not.toHaveProperty('error');
    },
  );

  it('names the reading that failed and keeps the others', () => {
    const nvml = new FakeNvml();
    nvml.temperature = () => fails(UNKNOWN_ERROR);
    nvml.memory = () => fails(UNKNOWN_ERROR);
    expect(readGpu(nvml, 0, nameOf).sample).toMatchObject({
      temperature: null,
      memoryTotalMiB: null,
      memoryUsedMiB: null,
      utilization: 37,
      error: 'memory: text of 999; temperature: text of 999',
    });
  });
});

describe('a GPU that is broken', () => {
  it('is a sample without readings when there is no handle', () => {
    const nvml = new FakeNvml();
    nvml.device = () => fails(NvmlCode.GPU_IS_LOST);
    expect(readGpu(nvml, 1, nameOf)).toMatchObject({
      lost: true,
      sample: { id: 1, uuid: null, memoryTotalMiB: null, error: 'GPU 1 cannot be read: text of 15' },
    });
  });

  it('keeps its identity and drops what was read before it was lost', () => {
    const nvml = new FakeNvml();
    nvml.powerUsage = () => fails(NvmlCode.GPU_IS_LOST);
    expect(readGpu(nvml, 0, nameOf)).toMatchObject({
      lost: true,
      sample: { uuid: 'GPU-0', memoryTotalMiB: null, temperature: null, error: expect.any(String) as string },
    });
  });

  it('is not looked for by a new initialisation when it only needs a reset', () => {
    const nvml = new FakeNvml();
    nvml.memory = () => fails(NvmlCode.RESET_REQUIRED);
    expect(readGpu(nvml, 0, nameOf)).toMatchObject({
      lost: false,
      sample: { error: expect.any(String) as string },
    });
  });

  it('leaves the others alone', () => {
    const nvml = new FakeNvml();
    nvml.count = 3;
    nvml.device = (index) => (index === 1 ? fails(UNKNOWN_ERROR) : { ok: true, value: BigInt(index) });
    const reply = sampleAll(nvml);
    expect(reply).toMatchObject({
      type: 'sample',
      lost: false,
      samples: [
        { id: 0, utilization: 37 },
        { id: 1, utilization: null },
        { id: 2, utilization: 37 },
      ],
    });
  });
});

describe('the whole library', () => {
  it('says so when it is not initialised any more', () => {
    const nvml = new FakeNvml();
    nvml.utilization = () => fails(NvmlCode.UNINITIALIZED);
    expect(sampleAll(nvml)).toMatchObject({
      type: 'failed',
      failure: { reason: 'uninitialized', nvmlCode: 1 },
    });
    nvml.deviceCount = () => fails(NvmlCode.UNINITIALIZED);
    expect(sampleAll(nvml)).toMatchObject({ type: 'failed', failure: { reason: 'uninitialized' } });
    nvml.deviceCount = () => fails(UNKNOWN_ERROR);
    expect(sampleAll(nvml)).toMatchObject({ type: 'failed', failure: { reason: 'read_failed' } });
  });

  it('is opened, or says in its own words why not', () => {
    const nvml = new FakeNvml();
    expect(openNvml(() => nvml)).toBe(nvml);
    nvml.init = () => 9;
    expect(openNvml(() => nvml)).toEqual({ reason: 'init_failed', text: 'text of 9', nvmlCode: 9 });
    const missing = openNvml(() => {
      throw new Error('no such file');
    });
    expect(missing).toEqual({ reason: 'library_not_loaded', text: 'no such file' });
  });
});

describe('the faults of a GPU', () => {
  it('are none where the device tells none, or has no such readings', () => {
    const nvml = new FakeNvml();
    expect(readGpu(nvml, 0, nameOf).sample).not.toHaveProperty('faults');
    for (const code of [NvmlCode.NOT_SUPPORTED, NvmlCode.FUNCTION_NOT_FOUND]) {
      nvml.clockReasons = nvml.uncorrectedErrors = () => fails(code);
      nvml.remappedRows = nvml.retiredPagesPending = () => fails(code);
      const { sample } = readGpu(nvml, 0, nameOf);
      expect(sample).not.toHaveProperty('faults');
      expect(sample).not.toHaveProperty('error');
    }
  });

  it('are told with the readings', () => {
    const nvml = new FakeNvml();
    nvml.uncorrectedErrors = () => ok(7);
    nvml.remappedRows = () => ok({ isPending: true, hasFailed: true });
    nvml.retiredPagesPending = () => ok(true);
    nvml.clockReasons = () => ok(0x40);
    const { sample } = readGpu(nvml, 0, nameOf);
    expect(sample.temperature).toBe(54);
    expect(sample.faults?.map(({ kind, count }) => [kind, count])).toEqual([
      ['ecc', 7],
      ['remap_failure', 1],
      ['remap_pending', 1],
      ['retired_pages_pending', 1],
      ['throttle', 1],
    ]);
  });

  it.each([
    [NvmlCode.GPU_IS_LOST, 'lost'],
    [NvmlCode.RESET_REQUIRED, 'reset_required'],
  ])('are all that a GPU tells that gives no readings (code %i)', (code, kind) => {
    const nvml = new FakeNvml();
    nvml.count = 2;
    nvml.temperature = (device) => (device === 1n ? fails(code) : ok(54));
    const reply = sampleAll(nvml);
    const samples = reply.type === 'sample' ? reply.samples : [];
    expect(samples).toMatchObject([{ temperature: 54 }, { faults: [{ kind }], uuid: 'GPU-1' }]);
    expect(samples[0]).not.toHaveProperty('faults');
    nvml.device = (index) => (index === 1 ? fails(code) : ok(BigInt(index)));
    expect(sampleAll(nvml)).toMatchObject({ samples: [{}, { faults: [{ kind }], uuid: null }] });
  });
});
