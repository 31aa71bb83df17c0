import { expect, it, jest } from '@jest/globals';
import { containersOf } from '../support/docker.js';
import {
  end,
  foreign,
  foreignName,
  gate,
  guest,
  isAlive,
  isThere,
  main,
  mic,
  NOBODYS,
  nvml,
  others,
  OURS_IN_SHARED,
  plain,
  processesIn,
  shared,
  sharedName,
  stranger,
  untilOn,
  useAttribution,
  withReal,
  worker,
} from './attribution-rig.js';

jest.setTimeout(120_000);

withReal('whose a process is, with real Triton in a container', () => {
  useAttribution();

  it('GET /gpus tells by cgroup and labels: placement, container, user, and whether it is managed', async () => {
    const [qwen = 0] = await mic.serverPids();
    const { pid: other = 0 } = plain;
    await nvml.place({ 0: [main, worker, guest, stranger, qwen, other], 1: [guest] });
    const inShared = { ...OURS_IN_SHARED, container: sharedName() };
    const mam = { ...inShared, model_name: 'MAM', placement: 'MAM@0' };
    expect(await untilOn(0, main, worker, guest, stranger, qwen, other)).toEqual(
      new Map<number, unknown>([
        [main, mam],
        [worker, mam],
        [guest, mam],
        [stranger, { ...NOBODYS, container: foreignName() }],
        [qwen, { ...NOBODYS, model_name: 'qwen', placement: 'qwen@0', container: null, managed: true }],
        [other, { ...NOBODYS, container: null }],
      ]),
    );
    const slow = { ...inShared, model_name: 'SlowInfer', placement: 'SlowInfer@1' };
    expect(await untilOn(1, guest)).toEqual(new Map([[guest, slow]]));
  });

  it('a dry run names what would be hit, and hits nothing', async () => {
    const before = await processesIn(shared());
    expect(before).toEqual(expect.arrayContaining([main, worker, guest]));
    for (const pid of [main, worker, guest]) {
      const { status, body } = await end(pid, '?dry_run=true');
      expect({ status, body }).toMatchObject({
        status: 200,
        body: {
          pid,
          status: 'dry_run',
          message: `The server ${sharedName()} would be ended by force; MAM@0, SlowInfer@1 would be in ERROR and not restarted.`,
          placements: ['MAM@0', 'SlowInfer@1'],
          container: sharedName(),
          owner: 'root',
        },
      });
      const named = (body.processes as { pid: number }[]).map((each) => each.pid);
      expect(named.sort((a, b) => a - b)).toEqual(before);
    }
    expect(await end(stranger, '?dry_run=true')).toEqual({
      status: 200,
      body: {
        pid: stranger,
        status: 'dry_run',
        message: 'This process would be ended.',
        placements: [],
        processes: [{ pid: stranger, name: 'tritonserver' }],
        container: foreignName(),
        owner: 'root',
      },
    });
    expect(await processesIn(shared())).toEqual(before);
    expect(isAlive(stranger)).toBe(true);
    expect((await mic.infer('MAM', [1, 2, 3, 4])).output).toEqual([3, 5, 7, 9]);
  });

  it('DELETE of one in a container of others ends that, and nothing of ours', async () => {
    const before = await processesIn(shared());
    const { status, body } = await end(stranger);
    expect({ status, body }).toMatchObject({ status: 200, body: { pid: stranger, status: 'killed' } });
    expect(body).not.toHaveProperty('placements');
    await mic.until(async () => !(await isThere(foreign)));
    expect(await processesIn(shared())).toEqual(before);
    await mic.untilRunning('FastFitAll@2', 'MAM@0', 'SlowInfer@1', 'qwen@0');
  });

  it.each<[string, () => number]>([
    ['the main process', () => main],
    ['one that came by docker exec', () => guest],
  ])('DELETE of %s ends the whole server for good, and no other', async (_, chosen) => {
    const bystanders = await others();
    const { Id: before } = await shared().inspect();
    const pid = chosen();
    const { status, body } = await end(pid);
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { pid, status: 'killed', placements: ['MAM@0', 'SlowInfer@1'] },
    });
    expect(await isThere(shared())).toBe(false);
    expect([main, worker, guest].filter(isAlive)).toEqual([]);
    for (const model of ['MAM', 'SlowInfer']) {
      const error = await mic.untilError(model);
      expect(error.code).toBe('ENDED_OVER_API');
      expect(error.message).toMatch(/^ended over the API by (::ffff:)?127\.0\.0\.1 \(request /);
    }
    const calm = performance.now() + 4000; // many times the first delay of a restart
    await mic.until(async () => {
      expect(await mic.placements()).toEqual(['FastFitAll@2:RUNNING', 'qwen@0:RUNNING']);
      expect(await containersOf(mic.instanceName)).toHaveLength(1);
      return performance.now() > calm;
    });
    expect(await others()).toEqual(bystanders);
    expect(isAlive(stranger)).toBe(true);

    expect((await mic.start('MAM', 0)).status).toBe(202);
    expect((await mic.start('SlowInfer', 1)).status).toBe(202);
    await mic.untilRunning('FastFitAll@2', 'MAM@0', 'SlowInfer@1', 'qwen@0');
    expect((await mic.infer('MAM', [1, 2, 3, 4])).output).toEqual([3, 5, 7, 9]);
    expect((await shared().inspect()).Id).not.toBe(before);
    expect(await others()).toEqual(bystanders);
  });

  it.each<[string, () => Promise<unknown>, RegExp]>([
    ['has stopped', () => gate.shut(), /Cannot connect to the Docker daemon/],
    ['hangs', () => Promise.resolve((gate.isSilent = true)), /no answer within 5 s/],
  ])('while the Engine %s, nothing is claimed, and nothing in a container ended', async (_, lose, reason) => {
    const { pid: other = 0 } = plain;
    await lose();
    await nvml.place({ 0: [main, guest, stranger, other] });
    const seen = await untilOn(0, main, guest, stranger, other);
    const open = { ...NOBODYS, managed: null, container: expect.stringMatching(/^[0-9a-f]{12}$/) as unknown };
    // The main process is known by the placements that it serves.
    expect(seen.get(main)).toMatchObject({ placement: 'MAM@0', managed: true });
    expect(seen.get(guest)).toEqual(open);
    expect(seen.get(stranger)).toEqual(open);
    expect(seen.get(other)).toEqual({ ...NOBODYS, container: null });

    for (const pid of [guest, stranger]) {
      for (const query of ['', '?dry_run=true']) {
        expect(await end(pid, query)).toEqual({
          status: 503,
          body: { code: 'PROCESS_OWNER_UNKNOWN', detail: expect.stringMatching(reason) as unknown },
        });
      }
    }
    expect((await end(main, '?dry_run=true')).body).toMatchObject({
      message: expect.stringContaining('further processes') as unknown,
      placements: ['MAM@0', 'SlowInfer@1'],
    });
    expect((await end(other)).status).toBe(200);
    expect([main, worker, guest, stranger].filter(isAlive)).toEqual([main, worker, guest, stranger]);
    expect((await mic.infer('MAM', [1, 2, 3, 4])).status).toBe(200);

    if (gate.isSilent) gate.isSilent = false;
    else await gate.open();
    expect((await end(guest)).body).toMatchObject({ placements: ['MAM@0', 'SlowInfer@1'] });
    expect(await isThere(shared())).toBe(false);
  });

  it('DELETE of the main process while the Engine is away lasts: it is ended when the Engine is back', async () => {
    await gate.shut();
    expect(await end(main)).toMatchObject({ status: 500, body: { code: 'DOCKER_UNAVAILABLE' } });
    expect((await mic.untilError('MAM')).code).toBe('ENDED_OVER_API');
    await gate.open();
    await mic.until(async () => (await containersOf(mic.instanceName)).length === 1, 60_000);
    expect(await isThere(shared())).toBe(false);
    const calm = performance.now() + 4000;
    await mic.until(async () => {
      expect(await mic.placements()).toEqual(['FastFitAll@2:RUNNING', 'qwen@0:RUNNING']);
      expect(await containersOf(mic.instanceName)).toHaveLength(1);
      return performance.now() > calm;
    });
    expect((await mic.untilError('MAM')).code).toBe('ENDED_OVER_API');
  });
});
