import { GpuOccupants, type GpuOccupant } from '../../src/gpus/gpu-occupants.js';
import { pino } from 'pino';
import { type Attribution, toGpuInfo } from '../../src/gpus/gpu-info.js';
import { GpusController } from '../../src/gpus/gpus.controller.js';
import { GpusService } from '../../src/gpus/gpus.service.js';
import { ProcessOwners } from '../../src/gpus/process-owners.js';
import { LauncherRegistry } from '../../src/launchers/launcher-registry.js';
import { nearestAncestor } from '../../src/host/process-parent.js';
import { AwayRegistry } from '../fakes/away-registry.js';
import { configWith, FakeClock, ManualProvider, sample } from './rig.js';
import { facts } from '../processes/rig.js';

function occupant(over: Partial<GpuOccupant> = {}): GpuOccupant {
  return {
    modelName: 'MAM',
    gpuId: 0,
    placement: 'MAM@0',
    pid: 100,
    serverName: 'triton_server',
    instances: 8,
    ...over,
  };
}

const noServers = new Map<number, Attribution>();
const WELL = { status: 'ok', reason: null, since: null, by: null } as const;
const noCordons = { of: () => WELL };
const NOBODY = { serverName: null, container: null, user: null, serverPid: null };

describe('a GPU in the API', () => {
  it("has the seed's fields, rounded, and more", () => {
    expect(toGpuInfo(sample(), [], noServers, WELL)).toEqual({
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
      health: WELL,
    });
  });

  it('is null where the device does not tell, and says why where there is a cause', () => {
    const nothing = { memoryTotalMiB: null, memoryUsedMiB: null, powerDraw: null, powerLimit: null };
    expect(toGpuInfo(sample({ ...nothing, error: 'GPU is lost' }), [], noServers, WELL)).toMatchObject({
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
    expect(toGpuInfo(none, [], noServers, WELL).memory_usage).toBeNull();
  });

  it('says which process serves which model on this GPU', () => {
    const processes = [100, 101, 200, 300].map((pid) => ({ pid, name: `p${pid}`, memoryMiB: pid + 0.4 }));
    const occupants = [
      occupant(),
      occupant({ modelName: 'FastFitAll', placement: 'FastFitAll@1' }),
      occupant({ modelName: 'elsewhere', gpuId: 1 }),
      occupant({ modelName: 'other', gpuId: 1, pid: 200 }),
    ];
    const owners = new Map<number, Attribution>([
      [100, { ...NOBODY, serverPid: 100, user: 'root' }],
      [101, { ...NOBODY, serverPid: 100 }],
      [200, { ...NOBODY, serverPid: 200 }],
      [300, { ...NOBODY, container: 'training', user: 'alice' }],
    ]);
    const nothing = { model_name: null, placement: null, container: null, owner: null };
    const both = { model_name: 'FastFitAll, MAM', placement: 'FastFitAll@1, MAM@0', managed: true };
    expect(toGpuInfo(sample({ processes }), occupants, owners, WELL).processes).toEqual([
      { pid: 100, name: 'p100', gpu_memory_usage: 100, ...nothing, ...both, owner: 'root' },
      { pid: 101, name: 'p101', gpu_memory_usage: 101, ...nothing, ...both },
      { pid: 200, name: 'p200', gpu_memory_usage: 200, ...nothing, managed: true },
      {
        pid: 300,
        name: 'p300',
        gpu_memory_usage: 300,
        ...nothing,
        container: 'training',
        owner: 'alice',
        managed: false,
      },
    ]);
  });

  it('goes by the server’s name where a process descends from nobody that is known', () => {
    const processes = [{ pid: 7, name: 'VLLM::EngineCore', memoryMiB: 10 }];
    const of = (serverName: string) => new Map([[7, { ...NOBODY, serverName }]]);
    const [ours] = toGpuInfo(sample({ processes }), [occupant()], of('triton_server'), WELL).processes;
    expect(ours).toMatchObject({ model_name: 'MAM', placement: 'MAM@0', managed: true });
    const [orphan] = toGpuInfo(sample({ processes }), [occupant()], of('forgotten'), WELL).processes;
    expect(orphan).toMatchObject({ model_name: null, placement: null, managed: true });
  });
});

describe("a server's process", () => {
  const parents: Record<number, number> = { 3: 2, 2: 1, 8: 9, 9: 8 };
  const rows = (pid: number) => {
    const parentPid = parents[pid];
    return Promise.resolve(parentPid === undefined ? undefined : facts({ pid, parentPid, startTime: '' }));
  };

  it.each([
    [3, [2], 2],
    [3, [1, 3], 3],
    [3, [7], undefined],
    [8, [1], undefined],
    [3, [], undefined],
  ])('%i belongs to the nearest of %j: %s', async (pid, roots, expected) => {
    expect(await nearestAncestor(pid, new Set(roots), rows)).toBe(expected);
  });
});

describe('GET /api/v1/gpus', () => {
  it("attributes a child of a server to the server's model", async () => {
    const provider = new ManualProvider();
    const occupants = new GpuOccupants();
    // This test's own parent stands for a server: a process whose parent is certain.
    occupants.replace([occupant({ pid: process.ppid })]);
    const config = configWith();
    const owners = new ProcessOwners(
      new LauncherRegistry(config, []),
      new FakeClock(),
      pino({ enabled: false }),
    );
    const controller = new GpusController(
      new GpusService(provider, new FakeClock(), config),
      occupants,
      owners,
      noCordons,
    );
    const answer = controller.list();
    provider.gives(sample({ processes: [{ pid: process.pid, name: 'node', memoryMiB: null }] }));
    expect(await answer).toMatchObject([
      { processes: [{ pid: process.pid, gpu_memory_usage: null, model_name: 'MAM', managed: true }] },
    ]);
  });

  it('claims nothing of a process while nobody can tell whose it is', async () => {
    const provider = new ManualProvider();
    const config = configWith();
    const launchers = new AwayRegistry(config, []);
    const clock = new FakeClock();
    const owners = new ProcessOwners(launchers, clock, pino({ enabled: false }));
    const gpus = new GpusService(provider, clock, config);
    const controller = new GpusController(gpus, new GpuOccupants(), owners, noCordons);
    const ask = async (): Promise<unknown> => {
      const answer = controller.list();
      provider.gives(sample({ processes: [{ pid: process.pid, name: 'node', memoryMiB: null }] }));
      return (await answer)[0]?.processes[0];
    };
    const unknown = { pid: process.pid, model_name: null, placement: null, managed: null };
    expect(await ask()).toMatchObject(unknown);
    launchers.isAway = false;
    clock.ms += 4000; // it is not asked again at once
    expect(await ask()).toMatchObject(unknown);
    clock.ms += 2000;
    expect(await ask()).toMatchObject({ ...unknown, managed: false });
  });
});
