import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SimulatedGpuProvider } from '../../src/gpus/simulated/simulated-gpu-provider.js';
import { type GpuOccupant, GpuOccupants } from '../../src/gpus/gpu-occupants.js';

const simulation = {
  taken_out: [] as number[],
  count: 2,
  memory_total_mib: 10_000,
  power_limit_w: 300,
  instance_memory_mib: 1000,
  faults_file: null,
};
const signal = new AbortController().signal;

function occupant(over: Partial<GpuOccupant>): GpuOccupant {
  return {
    modelName: 'MAM',
    gpuId: 0,
    placement: 'MAM@0',
    pid: 100,
    serverName: 'tritonserver',
    instances: 1,
    ...over,
  };
}

describe('simulated GPUs', () => {
  const occupants = new GpuOccupants();
  const provider = new SimulatedGpuProvider(simulation, occupants);

  beforeEach(() => {
    occupants.replace([]);
  });

  it('keep their UUIDs when one of them is taken out, and move up', async () => {
    const uuids = async (takenOut: number[]) => {
      const host = new SimulatedGpuProvider({ ...simulation, count: 3, taken_out: takenOut }, occupants);
      return (await host.sample(signal)).map(({ id, uuid }) => [id, uuid]);
    };
    const [first, , third] = await uuids([]);
    expect(await uuids([1])).toEqual([first, [1, third?.[1]]]);
  });

  it('idle when nothing is placed on them', async () => {
    const gpus = await provider.sample(signal);
    expect(gpus.map(({ id }) => id)).toEqual([0, 1]);
    expect(new Set(gpus.map(({ uuid }) => uuid)).size).toBe(2);
    expect(gpus[0]).toMatchObject({
      memoryTotalMiB: 10_000,
      memoryUsedMiB: 16,
      utilization: 0,
      powerDraw: 24,
      powerLimit: 300,
      processes: [],
      simulated: true,
    });
  });

  it('react to what is placed on them, and on no other GPU', async () => {
    occupants.replace([occupant({ instances: 4 })]);
    const [busy, idle] = await provider.sample(signal);
    expect(busy).toMatchObject({
      memoryUsedMiB: 4016,
      utilization: 24,
      processes: [{ pid: 100, name: 'tritonserver', memoryMiB: 4000 }],
    });
    expect(busy?.powerDraw).toBeGreaterThan(idle?.powerDraw ?? Infinity);
    expect(busy?.temperature).toBeGreaterThan(idle?.temperature ?? Infinity);
    expect(idle?.processes).toEqual([]);
    expect(await provider.sample(signal)).toEqual([busy, idle]);
  });

  it('show a shared server as one process, and none while a server has no pid', async () => {
    occupants.replace([
      occupant({ instances: 2 }),
      occupant({ modelName: 'FastFitAll' }),
      occupant({ modelName: 'chane_face', pid: null, serverName: null }),
    ]);
    const [gpu] = await provider.sample(signal);
    expect(gpu?.processes).toEqual([{ pid: 100, name: 'tritonserver', memoryMiB: 3000 }]);
    expect(gpu?.memoryUsedMiB).toBe(3016);
  });

  it('never hold more than they have', async () => {
    occupants.replace([occupant({ instances: 50 })]);
    const [gpu] = await provider.sample(signal);
    expect(gpu).toMatchObject({ memoryUsedMiB: 10_000, utilization: 96 });
    expect(gpu?.powerDraw).toBeLessThan(300);
  });
});

describe('the faults of simulated GPUs', () => {
  let dir: string;
  let file: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'mic-faults-'));
    file = join(dir, 'faults.json');
  });
  afterEach(async () => {
    await rm(dir, { recursive: true });
  });

  it('are those of the file, as it is at each reading, by slot or UUID', async () => {
    const host = new SimulatedGpuProvider(
      { ...simulation, count: 3, taken_out: [0], faults_file: file },
      new GpuOccupants(),
    );
    expect((await host.sample(signal)).filter(({ faults }) => faults)).toEqual([]);
    const uuid = 'GPU-00000000-0000-0000-0000-000000000001';
    await writeFile(
      file,
      JSON.stringify({ 2: { lost: true, xids: [79] }, [uuid]: { throttle: ['hw_thermal'] } }),
    );
    expect(await host.sample(signal)).toMatchObject([
      { id: 0, uuid, faults: [{ kind: 'throttle' }], temperature: 34 },
      {
        ...{ id: 1, faults: [{ kind: 'lost' }], xids: [79], temperature: null },
        error: 'GPU 1 cannot be read: GPU is lost',
      },
    ]);
    const later = await host.sample(signal);
    expect(later.filter(({ xids }) => xids)).toEqual([]);
    await writeFile(file, JSON.stringify({ 2: { ecc_uncorrected: 2, xids: [79, 48] } }));
    const [first, second] = await host.sample(signal);
    expect(first).not.toHaveProperty('faults');
    expect(second).toMatchObject({ faults: [{ kind: 'ecc', count: 2 }], xids: [48], temperature: 34 });
  });

  it('are told once, also across a restart; what came meanwhile, or anew after it was gone, is told', async () => {
    const host = () =>
      new SimulatedGpuProvider({ ...simulation, faults_file: file }, new GpuOccupants(), join(dir, 'state'));
    const xids = async (provider: SimulatedGpuProvider) =>
      (await provider.sample(signal)).map((gpu) => gpu.xids);
    await writeFile(file, JSON.stringify({ 1: { xids: [79] } }));
    expect((await xids(host()))[1]).toEqual([79]);
    expect((await xids(host()))[1]).toBeUndefined();
    await writeFile(file, JSON.stringify({ 1: { xids: [79, 48] } }));
    expect((await xids(host()))[1]).toEqual([48]);
    await writeFile(file, '{}');
    const next = host();
    expect((await xids(next))[1]).toBeUndefined();
    await writeFile(file, JSON.stringify({ 1: { xids: [79] } }));
    expect((await xids(next))[1]).toEqual([79]);
  });

  it.each(['{', '{"0":{"losst":true}}', '[]'])(
    'of a file that makes no sense are a failed reading: %s',
    async (text) => {
      await writeFile(file, text);
      const host = new SimulatedGpuProvider({ ...simulation, faults_file: file }, new GpuOccupants());
      await expect(host.sample(signal)).rejects.toThrow(/faults_file .* makes no sense/);
    },
  );
});
