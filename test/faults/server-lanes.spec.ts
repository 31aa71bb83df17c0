import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { ScriptedService } from '../support/scripted-service.js';

/** Time of a slow start, and of a stop of a server that ignores SIGTERM, ms. */
const SLOW_MS = 4000;
/**
 * What does not wait for another GPU has begun after half a second. A busy machine gets a second more: what does wait
 * takes longer than 3 s here.
 */
const AT_ONCE_MS = 1500;
/** A server that does not answer is ended after this time, ms; a probe and its end come on top. */
const DEADLINE_MS = 3000;
const DEADLINE_SLACK_MS = 2000;

let house: ScriptedService;

beforeAll(async () => {
  house = await ScriptedService.boot({
    scripted: { starting: {}, deaf: { stop_grace_seconds: SLOW_MS / 1000 }, silent: {} },
    config: { liveness: { deadline_seconds: DEADLINE_MS / 1000 } },
  });
});

afterAll(() => house.dispose());

/** All of these times lie in the range; a failure tells those that do not. */
function expectWithin(times: Readonly<Record<string, number>>, fromMs: number, toMs: number): void {
  expect(Object.entries(times).filter(([, ms]) => ms < fromMs || ms > toMs)).toEqual([]);
}

async function msUntilAnswered(command: Promise<{ status: number }>): Promise<number> {
  const sentAt = performance.now();
  expect((await command).status).toBe(200);
  return performance.now() - sentAt;
}

describe('the servers of one model', () => {
  it('are launched at once, also after a death, while one of them starts slowly', async () => {
    await house.running('starting', 0);
    await house.plays('starting', 1, { readyAfterMs: SLOW_MS });
    await house.service.start('starting', 1);
    await house.launch('starting', 1, 1);
    const killedAt = await house.signal('starting', 0, 'SIGKILL');
    const sentAt = Date.now();
    await house.service.start('starting', 2);
    const relaunch = await house.launch('starting', 0, 2, 15_000);
    const launch = await house.launch('starting', 2, 1, 15_000);
    expectWithin({ relaunch: relaunch.at - killedAt, launch: launch.at - sentAt }, -50, AT_ONCE_MS);
    await house.untilStatus('starting', { 0: 'RUNNING', 1: 'STARTING', 2: 'RUNNING' }, 2000);
    expect(await house.launches('starting', 1)).toHaveLength(1);
  });

  it('are stopped and launched at once while one of them does not end', async () => {
    await house.plays('deaf', 0, { isDeaf: true });
    await house.running('deaf', 0, 1, 2);
    const deaf = msUntilAnswered(house.service.stop('deaf', 0));
    await sleep(300); // its stop is under way by now
    const polite = msUntilAnswered(house.service.stop('deaf', 1));
    const killedAt = await house.signal('deaf', 2, 'SIGKILL');
    const sentAt = Date.now();
    await house.service.start('deaf', 3);
    const relaunch = await house.launch('deaf', 2, 2, 15_000);
    const launch = await house.launch('deaf', 3, 1, 15_000);
    const times = { polite: await polite, relaunch: relaunch.at - killedAt, launch: launch.at - sentAt };
    expectWithin(times, -50, AT_ONCE_MS);
    expect(await deaf).toBeGreaterThan(SLOW_MS - 50);
    await house.untilStatus('deaf', { 2: 'RUNNING', 3: 'RUNNING' });
  });

  it('have each their own time to be silent', async () => {
    await house.running('silent', 0, 1, 2, 3);
    // Refused, not frozen: to a frozen one, the last question before its end takes seconds by itself.
    const shutAt = await house.signal('silent', 0, 'SIGUSR2');
    await sleep(1000);
    await house.signal('silent', 2, 'SIGSTOP');
    await sleep(1000);
    const laterShutAt = await house.signal('silent', 1, 'SIGUSR2');
    await sleep(700); // the one on GPU 2 answers again before anything has been silent for too long
    await house.signal('silent', 2, 'SIGCONT');
    const relaunch = await house.launch('silent', 0, 2, 15_000);
    const laterRelaunch = await house.launch('silent', 1, 2, 15_000);
    expectWithin(
      { first: relaunch.at - shutAt, later: laterRelaunch.at - laterShutAt },
      DEADLINE_MS - 50,
      DEADLINE_MS + DEADLINE_SLACK_MS,
    );
    await house.untilStatus('silent', { 0: 'RUNNING', 1: 'RUNNING', 2: 'RUNNING', 3: 'RUNNING' });
    for (const gpu of [2, 3]) {
      expect(house.transitions('silent', gpu)).not.toContain('RUNNING → STARTING');
      expect(await house.launches('silent', gpu)).toHaveLength(1);
    }
  });
});
