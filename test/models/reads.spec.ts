import { toInstanceInfo, toStatusItem } from '../../src/models/api/views.js';
import { ModelLoadError, ServerLostError } from '../../src/runners/errors.js';
import { House } from '../fakes/house.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { desired } from '../fakes/memory-store.js';
import { pass, settled } from '../fakes/timers.js';
import { house, outcome, useHouse } from './house-rig.js';

useHouse();

/** The day on which the suite's time begins. */
const at = (time: string): string => `2024-01-01T${time}.000Z`;

/** The items that the status shows of a model. */
function items(of = house, modelName = 'A') {
  const state = of.supervisor.deployments().find((each) => each.modelName === modelName);
  return state?.visible().map((held) => toStatusItem(state, held)) ?? [];
}

/** Lines of the log about placements, as `level transition request`. */
function events(of = house): string[] {
  return of.lines
    .filter(({ event }) => event === 'placement')
    .map(
      ({ level, from, to, request }) => `${String(level)} ${String(from)}→${String(to)} ${String(request)}`,
    );
}

/** Another run of the service, on the same state and the same backend. */
async function restarted(shutdown?: { policy: 'stop' }): Promise<House> {
  await house.supervisor.beforeApplicationShutdown();
  const state = [...house.store.saved.values()];
  const runner = new FakeRunner();
  for (const [model, gpuIds] of house.runner.world) runner.world.set(model, gpuIds);
  runner.lastLines = house.runner.lastLines;
  return House.withMemory({ runner, state, ...(shutdown && { shutdown }) }).boot();
}

describe('a status item', () => {
  it('has all that a client needs to reach the placement, and what it was started with', async () => {
    await house.supervisor.start('A', 0, { instances: 3 });
    await settled();
    expect(items()).toEqual([
      {
        model_name: 'A',
        model_type: 'fake',
        gpu_id: 0,
        status: 'RUNNING',
        gpu_uuid: 'GPU-0',
        pid: house.runner.pidOn(0),
        port: 8000,
        options: { instances: 3 },
        since: at('00:00:00'),
        restarts: 0,
      },
    ]);
  });

  it('is the same in the answer to a command', async () => {
    await house.running('A', 0);
    const view = await house.supervisor.start('A', 0, {});
    const [item] = items();
    const { placements } = toInstanceInfo(view);
    expect(placements).toHaveLength(1);
    expect(Object.assign({ model_name: 'A', model_type: 'fake' }, placements[0])).toEqual(item);
  });

  it('tells since when its status is, which a sleep does not change', async () => {
    house.runner.hold('start');
    await house.supervisor.start('A', 0, {});
    const call = await house.runner.nextCall('start');
    await pass(5000);
    expect(items()).toMatchObject([{ status: 'STARTING', since: at('00:00:00') }]);
    call.succeed();
    await settled();
    await pass(5000);
    await house.supervisor.sleepOrWake('A', 0, { kind: 'sleep', level: 1 });
    expect(items()).toMatchObject([{ status: 'RUNNING', sleeping: true, since: at('00:00:05') }]);
  });

  it('tells when an error came up', async () => {
    await pass(3000);
    house.runner.failNext('start', new ModelLoadError('broken'));
    await house.supervisor.start('A', 0, {});
    await pass(5000);
    expect(items()).toMatchObject([
      { status: 'ERROR', since: at('00:00:03'), error: { code: 'MODEL_LOAD_FAILED', at: at('00:00:03') } },
    ]);
  });
});

describe('a placement that is lost while it serves', () => {
  it('is counted, and keeps the last lines of its server, also in the log', async () => {
    await house.running('A', 0);
    await pass(7000);
    house.runner.lastLines = [...Array.from({ length: 30 }, (_, n) => `line ${n}`), 'x'.repeat(9000)];
    house.runner.crash('A');
    await settled();
    const [item] = items();
    expect(item).toMatchObject({ status: 'RUNNING', since: at('00:00:07'), restarts: 1 });
    expect(item?.last_crash).toMatchObject({ at: at('00:00:07'), message: expect.any(String) as string });
    expect(item?.last_crash?.log).toHaveLength(20);
    expect(item?.last_crash?.log[18]).toBe('line 29');
    expect(item?.last_crash?.log[19]?.length).toBeLessThan(510);
    const lost = house.lines.find(({ to, from }) => from === 'RUNNING' && to === 'STARTING');
    expect(lost).toMatchObject({ level: 40, model_name: 'A', gpu_id: 0, log: item?.last_crash?.log });
  });

  it('is counted with each try that was in vain, and anew after a start', async () => {
    await house.running('A', 0);
    house.runner.failNext('start', new ServerLostError('died at once'));
    house.runner.failNext('start', new ServerLostError('died at once'));
    house.runner.crash('A');
    await pass(60_000);
    expect(items()).toMatchObject([{ status: 'RUNNING', restarts: 3 }]);
    await house.supervisor.stop('A', 0);
    await house.running('A', 0);
    expect(items()).toMatchObject([{ status: 'RUNNING', restarts: 0 }]);
    expect(items()[0]).not.toHaveProperty('last_crash');
  });

  it('is not counted where only nobody could tell for a while', async () => {
    await house.running('A', 0);
    house.runner.phase = 'unknown';
    await house.probe();
    expect(items()).toMatchObject([{ status: 'STARTING' }]);
    house.runner.phase = 'ready';
    await house.probe();
    expect(items()).toMatchObject([{ status: 'RUNNING', restarts: 0 }]);
    expect(items()[0]).not.toHaveProperty('last_crash');
  });

  it('is counted where its server was ended because it did not answer', async () => {
    await house.running('A', 0);
    house.runner.frozen.add('A');
    await house.probe();
    await pass(house.config.liveness.deadline_seconds * 1000);
    await house.probe();
    await settled();
    expect(items()).toMatchObject([
      {
        status: 'RUNNING',
        restarts: 1,
        last_crash: { message: expect.stringContaining('did not answer') as string },
      },
    ]);
  });

  it('a start that a stop elsewhere has interrupted is none', async () => {
    await house.running('A', 0);
    house.runner.hold('start');
    await house.supervisor.start('A', 1, {});
    await house.runner.nextCall('start');
    const stopping = house.supervisor.stop('A', 0);
    const again = await house.runner.nextCall('start');
    again.succeed();
    await stopping;
    await settled();
    expect(items()).toMatchObject([{ gpu_id: 1, status: 'RUNNING', restarts: 0 }]);
  });
});

describe('after a restart of the service', () => {
  it('since, restarts and the last crash are what they were, where the placement served on', async () => {
    await house.running('A', 0);
    house.runner.lastLines = ['the end'];
    await pass(7000);
    house.runner.crash('A');
    await settled();
    await pass(3_600_000);
    const next = await restarted();
    expect(items(next)).toMatchObject([
      { status: 'RUNNING', since: at('00:00:07'), restarts: 1, last_crash: { log: ['the end'] } },
    ]);
    expect(events(next)).toEqual(['30 STARTING→RUNNING undefined']);
  });

  it('a server that died while the service was away is one that was lost', async () => {
    await house.running('A', 0);
    house.runner.world.clear();
    house.runner.lastLines = ['the end'];
    await pass(60_000);
    const next = await restarted();
    expect(items(next)).toMatchObject([
      { status: 'RUNNING', since: at('00:01:00'), restarts: 1, last_crash: { log: ['the end'] } },
    ]);
    expect(next.lines.filter(({ level, log }) => level === 40 && log !== undefined)).toMatchObject([
      { event: 'placement', model_name: 'A', log: ['the end'] },
    ]);
  });

  it('a server that was stopped with the service is none', async () => {
    await house.running('A', 0);
    house.runner.world.clear();
    await pass(60_000);
    const next = await restarted();
    expect(items(next)).toMatchObject([{ status: 'RUNNING', since: at('00:01:00'), restarts: 0 }]);
    expect(items(next)[0]).not.toHaveProperty('last_crash');
  });

  it('what another restart comes upon, before the backend has told, is not lost', async () => {
    await house.running('A', 0);
    await pass(60_000);
    const state = [...house.store.saved.values()];
    const deaf = new FakeRunner();
    deaf.phase = 'unknown';
    const between = await House.withMemory({ runner: deaf, state }).boot();
    expect(items(between)).toMatchObject([{ status: 'STARTING', since: at('00:01:00') }]);
    await outcome(between.supervisor.start('A', 1, {}));
    const runner = new FakeRunner();
    runner.world.set('A', new Set([0, 1]));
    const next = await House.withMemory({ runner, state: [...between.store.saved.values()] }).boot();
    expect(items(next)).toMatchObject([
      { gpu_id: 0, status: 'RUNNING', since: at('00:00:00') },
      { gpu_id: 1, status: 'RUNNING' },
    ]);
  });

  it('of what an earlier version has written, the time of the last write is all that is known', async () => {
    const error = { code: 'X', message: 'x' };
    const next = await House.withMemory({
      state: [desired('A', [{ gpu_id: 0, wanted: 'failed', error }])],
    }).boot();
    const written = '2023-12-31T01:00:00.000Z';
    expect(items(next)).toMatchObject([
      { status: 'ERROR', since: written, restarts: 0, error: { at: written } },
    ]);
  });
});

describe('the log line of an event', () => {
  it('has the request that caused it, and none where nobody did', async () => {
    await house.supervisor.start('A', 0, {}, 'req-start');
    await settled();
    house.runner.crash('A');
    await settled();
    await house.supervisor.stop('A', 0, { request: 'req-stop' });
    expect(events()).toEqual([
      '30 STOPPED→STARTING req-start',
      '30 STARTING→RUNNING req-start',
      '40 RUNNING→STARTING undefined',
      '30 STARTING→RUNNING undefined',
      '30 RUNNING→STOPPED req-stop',
    ]);
  });

  it('has it where the command fails, and where it goes on after that', async () => {
    house.runner.failNext('start', new ModelLoadError('broken'));
    await house.supervisor.start('A', 0, {}, 'req-1');
    await settled();
    await house.supervisor.start('A', 0, {}, 'req-2');
    await settled();
    house.runner.failNext('stop', new Error('busy'));
    await outcome(house.supervisor.stop('A', 0, { request: 'req-3' }));
    await pass(60_000);
    expect(events()).toEqual([
      '30 STOPPED→STARTING req-1',
      '50 STARTING→ERROR req-1',
      '30 ERROR→STARTING req-2',
      '30 STARTING→RUNNING req-2',
      '50 RUNNING→ERROR req-3',
      '30 ERROR→STOPPED req-3',
    ]);
  });

  it('has it of a sleep, and of the end of a server', async () => {
    await house.running('A', 0);
    await house.supervisor.sleepOrWake('A', 0, { kind: 'sleep', level: 1 }, 'req-sleep');
    expect(house.lines.find(({ event }) => event === 'sleep')).toMatchObject({ request: 'req-sleep' });
    await house.supervisor.endServer('server-A', 'somebody', 'req-end');
    expect(events().at(-1)).toBe('50 RUNNING→ERROR req-end');
    expect(items()[0]?.error?.at).toBe(at('00:00:00'));
  });
});
