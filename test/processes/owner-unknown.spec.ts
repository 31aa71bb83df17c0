import { jest } from '@jest/globals';
import { loadConfig } from '../../src/config/load-config.js';
import { backends } from '../../src/runners/backends.js';
import { AwayRegistry } from '../fakes/away-registry.js';
import { pass, useFakeTime } from '../fakes/timers.js';
import { Children, SCRIPTS } from './children.js';
import { guarded, NOBODY, rig, type Rig, type SentSignal } from './rig.js';

describe('a process, while the Engine does not say whose it is', () => {
  const children = new Children();
  let sent: SentSignal[];
  let launchers: AwayRegistry;

  beforeEach(() => {
    sent = [];
    launchers = new AwayRegistry(loadConfig('config/default.yaml', {}, backends), []);
  });

  afterEach(() => {
    jest.useRealTimers();
  });
  afterAll(() => children.endAll());

  const house = (scope: 'any' | 'managed' = 'any'): Rig =>
    rig(
      guarded((pid) => children.has(pid), sent),
      { scope },
      () => [],
      launchers,
    );

  it('is not ended, nor is it said what would be hit', async () => {
    const { pid } = await children.start(SCRIPTS.polite);
    const { service, servers } = house();
    const refusal = {
      code: 'PROCESS_OWNER_UNKNOWN',
      kind: 'unavailable',
      message: expect.stringMatching(
        new RegExp(`^Whose process ${pid} is cannot be told, .*: Cannot connect to the Docker daemon`),
      ) as string,
    };
    await expect(service.end(pid, NOBODY)).rejects.toMatchObject(refusal);
    await expect(service.foresee(pid)).rejects.toMatchObject(refusal);
    expect(sent).toEqual([]);
    expect(servers.ended).toEqual([]);
  });

  it('is not said to be out of a scope that it may well be in', async () => {
    const { pid } = await children.start(SCRIPTS.polite);
    await expect(house('managed').service.end(pid, NOBODY)).rejects.toMatchObject({
      code: 'PROCESS_OWNER_UNKNOWN',
    });
  });

  it('is refused within seconds where nobody answers', async () => {
    const { pid } = await children.start(SCRIPTS.polite);
    useFakeTime();
    const asked = launchers.hang();
    const refused = expect(house().service.end(pid, NOBODY)).rejects.toMatchObject({
      code: 'PROCESS_OWNER_UNKNOWN',
      message: expect.stringContaining('no answer within 5 s') as string,
    });
    await asked;
    await pass(5000);
    await refused;
    expect(sent).toEqual([]);
  });

  it('is asked about anew as soon as it is back, whatever it said before', async () => {
    const { pid } = await children.start(SCRIPTS.polite);
    const { service, servers, occupants } = house();
    occupants.replace([
      { modelName: 'MAM', gpuId: 0, placement: 'MAM@0', pid: null, serverName: 'triton', instances: 1 },
    ]);
    await expect(service.end(pid, NOBODY)).rejects.toMatchObject({ code: 'PROCESS_OWNER_UNKNOWN' });
    launchers.isAway = false;
    // As of a process that has not entered its container yet.
    await expect(service.foresee(pid)).resolves.toMatchObject({ serverName: null });
    launchers.servers.set(pid, 'triton');
    await expect(service.end(pid, NOBODY)).resolves.toMatchObject({ placements: ['MAM@0'] });
    expect(servers.ended).toEqual(['triton by 127.0.0.1 (request test)']);
    expect(sent).toEqual([]);
    launchers.isAway = true; // whose it is does not change
    await expect(service.foresee(pid)).resolves.toMatchObject({ serverName: 'triton' });
  });

  it('ends with its server where it descends from the main process that serves', async () => {
    const { pid: server, line } = await children.start(SCRIPTS.negligentParent);
    const child = Number(line);
    children.own(child);
    const { service, servers, occupants } = house();
    occupants.replace([
      { modelName: 'MAM', gpuId: 0, placement: 'MAM@0', pid: server, serverName: 'triton', instances: 1 },
    ]);
    const { processes, isComplete, placements } = await service.foresee(child);
    expect(placements).toEqual(['MAM@0']);
    expect(isComplete).toBe(false);
    expect(processes.map(({ pid }) => pid).sort()).toEqual([server, child].sort());
    await expect(service.end(child, NOBODY)).resolves.toMatchObject({ placements: ['MAM@0'] });
    expect(servers.ended).toHaveLength(1);
    expect(sent).toEqual([]);
  });
});
