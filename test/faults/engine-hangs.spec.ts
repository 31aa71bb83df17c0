import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeEngine } from '../fakes/launcher-engine.js';
import { ScriptedService } from '../support/scripted-service.js';
import type { Answer } from '../support/service-client.js';
import { SocketGate } from '../support/socket-gate.js';

/** A start has 5 s for its checks; a busy machine gets more. What waits for another start takes 10 s and more. */
const OWN_LIMIT_MS = 6500;
/** What needs no Engine. Half a second would do; a busy machine gets more. */
const AT_ONCE_MS = 2000;

let engine: FakeEngine;
let gate: SocketGate;
let house: ScriptedService;

beforeAll(async () => {
  engine = await FakeEngine.start();
  gate = new SocketGate(`${engine.socketPath}.gate`, engine.socketPath);
  await gate.open();
  house = await ScriptedService.boot({
    models: { MAM: { load_seconds: 0.1 }, FastFitAll: { load_seconds: 0.1 } },
    triton: { model_gpu_configs: { FastFitAll: { use_dedicated_server: true }, default: {} } },
    scripted: {
      boxed: { launcher: 'docker', image_name: 'registry.test/boxed:1' },
      plain: {},
      early: {},
    },
    config: {
      gpus: { source: 'simulated', simulated: { count: 6 } },
      launchers: { docker: { socket_path: gate.path } },
    },
  });
});

afterEach(async () => {
  gate.isSilent = false;
  if (!gate.isOpen) await gate.open();
});

afterAll(async () => {
  await house.dispose();
  await gate.shut();
  await engine.stop();
});

interface Timed extends Answer {
  readonly ms: number;
}

async function timed(command: Promise<Answer>): Promise<Timed> {
  const sentAt = performance.now();
  // A client that has given up has waited for too long in any case.
  const answer = await command.catch((): Answer => ({ status: 0, body: {} }));
  return { ...answer, ms: Math.round(performance.now() - sentAt) };
}

/** A failure tells those that took longer. */
function expectWithin(limitMs: number, answers: readonly Timed[]): void {
  expect(answers.map(({ ms }) => ms).filter((ms) => ms > limitMs)).toEqual([]);
}

describe('the Engine accepts connections and never answers', () => {
  it('each start that needs it is answered within its own time; what needs none of it goes on as ever', async () => {
    await house.service.start('MAM', 0);
    await house.service.untilRunning('MAM@0');
    const [pid = 0] = await house.service.serverPids();
    gate.isSilent = true;
    const starts = Promise.all([0, 1, 2, 3, 4, 5].map((gpu) => timed(house.service.start('boxed', gpu))));
    await sleep(200); // the first of them is asking by now
    const others = [
      timed(house.service.start('FastFitAll', 1)),
      timed(house.service.get('/api/v1/models/status')),
      timed(house.service.stop('FastFitAll', 5)),
    ];
    const end = timed(house.service.call('DELETE', `/api/v1/processes/${pid}`));
    const answered = await Promise.all(others);
    expect(answered.map(({ status }) => status)).toEqual([202, 200, 404]);
    expectWithin(AT_ONCE_MS, answered);
    const refused = await starts;
    const ended = await end;
    expectWithin(OWN_LIMIT_MS, [...refused, ended]);
    for (const { status, body } of refused) {
      expect([status, body.code]).toEqual([503, 'PREFLIGHT_TIMEOUT']);
    }
    expect(ended.status).toBe(200);
    expect(await house.service.errorOf('MAM')).toMatchObject({ code: 'ENDED_OVER_API' });
    await house.service.untilRunning('FastFitAll@1');
  }, 45_000); // so that a failure tells how long each took
});

describe.each([
  ['never answers', (): Promise<void> => Promise.resolve(void (gate.isSilent = true))],
  ['is away', (): Promise<void> => gate.shut()],
])('the Engine, which another model of the same backend needs, %s', (_, goAway) => {
  it('a model that runs as a process starts without it', async () => {
    await goAway();
    const started = await timed(house.service.start('plain', 1));
    expect([started.status, started.body.code]).toEqual([202, undefined]);
    expectWithin(AT_ONCE_MS, [started]);
    await house.untilStatus('plain', { 1: 'RUNNING' }, 3000);
    expect((await house.service.stop('plain', 1)).status).toBe(200);
  });

  it('a model that runs as a process comes back without it', async () => {
    await house.running('early', 0);
    await goAway();
    const launched = (await house.launches('early', 0)).length;
    const killedAt = await house.signal('early', 0, 'SIGKILL');
    const relaunch = await house.launch('early', 0, launched + 1);
    expect(relaunch.at - killedAt).toBeLessThan(AT_ONCE_MS);
    await house.untilStatus('early', { 0: 'RUNNING' }, 3000);
    expect((await house.service.stop('early', 0)).status).toBe(200);
  });
});
