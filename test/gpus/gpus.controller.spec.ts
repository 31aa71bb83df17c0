import { GpuTenants, type GpuTenant } from '../../src/gpus/gpu-tenants.js';
import { toGpuInfo } from '../../src/gpus/gpu-info.js';
import { GpusController } from '../../src/gpus/gpus.controller.js';
import { GpusService } from '../../src/gpus/gpus.service.js';
import { nearestAncestor } from '../../src/gpus/process-parent.js';
import { configWith, FakeClock, ManualProvider, sample } from './rig.js';

function tenant(over: Partial<GpuTenant> = {}): GpuTenant {
  return { modelName: 'MAM', gpuId: 0, pid: 100, serverName: 'triton_server', instances: 8, ...over };
}

const noServers = new Map<number, number>();

describe('a GPU in the API', () => {
  it("has the seed's fields, rounded, and more", () => {
    expect(toGpuInfo(sample(), [], noServers)).toEqual({
      id: 0,
      memory_usage: 45.5,
      power_draw: 150.7,
      processes: [],
      uuid: 'GPU-a',
      name: 'NVIDIA Fake',
      memory_total: 24_564,
      memory_used: 11_182,
      utilization: 37,
      temperature: 54,
      power_limit: 350,
      simulated: false,
    });
  });

  it('is null where the device does not tell, and says why where there is a cause', () => {
    const nothing = { memoryTotalMiB: null, memoryUsedMiB: null, powerDraw: null, powerLimit: null };
    expect(toGpuInfo(sample({ ...nothing, error: 'GPU is lost' }), [], noServers)).toMatchObject({
      memory_usage: null,
      memory_total: null,
      memory_used: null,
      power_draw: null,
      power_limit: null,
      error: 'GPU is lost',
    });
  });

  it('does not divide by a memory of nothing', () => {
    const none = sample({ memoryTotalMiB: 0, memoryUsedMiB: 0 });
    expect(toGpuInfo(none, [], noServers).memory_usage).toBeNull();
  });

  it('says which process serves which model on this GPU', () => {
    const processes = [100, 101, 200, 300].map((pid) => ({ pid, name: `p${pid}`, memoryMiB: pid + 0.4 }));
    const tenants = [
      tenant(),
      tenant({ modelName: 'FastFitAll' }),
      tenant({ modelName: 'elsewhere', gpuId: 1 }),
      tenant({ modelName: 'other', gpuId: 1, pid: 200 }),
    ];
    const serverPids = new Map([
      [100, 100],
      [101, 100],
      [200, 200],
    ]);
    expect(toGpuInfo(sample({ processes }), tenants, serverPids).processes).toEqual([
      { pid: 100, name: 'p100', gpu_memory_usage: 100, model_name: 'FastFitAll, MAM', managed: true },
      { pid: 101, name: 'p101', gpu_memory_usage: 101, model_name: 'FastFitAll, MAM', managed: true },
      { pid: 200, name: 'p200', gpu_memory_usage: 200, model_name: null, managed: true },
      { pid: 300, name: 'p300', gpu_memory_usage: 300, model_name: null, managed: false },
    ]);
  });
});

describe("a server's process", () => {
  const parents: Record<number, number> = { 3: 2, 2: 1, 8: 9, 9: 8 };
  const parentOf = (pid: number) => Promise.resolve(parents[pid]);

  it.each([
    [3, [2], 2],
    [3, [1, 3], 3],
    [3, [7], undefined],
    [8, [1], undefined],
    [3, [], undefined],
  ])('%i belongs to the nearest of %j: %s', async (pid, roots, expected) => {
    expect(await nearestAncestor(pid, new Set(roots), parentOf)).toBe(expected);
  });
});

describe('GET /api/v1/gpus', () => {
  it("attributes a child of a server to the server's model", async () => {
    const provider = new ManualProvider();
    const tenants = new GpuTenants();
    // This test's own parent stands for a server: a process whose parent is certain.
    tenants.replace([tenant({ pid: process.ppid })]);
    const controller = new GpusController(new GpusService(provider, new FakeClock(), configWith()), tenants);
    const answer = controller.list();
    provider.gives(sample({ processes: [{ pid: process.pid, name: 'node', memoryMiB: null }] }));
    expect(await answer).toMatchObject([
      { processes: [{ pid: process.pid, gpu_memory_usage: null, model_name: 'MAM', managed: true }] },
    ]);
  });
});
