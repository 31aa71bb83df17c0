import { pass, settled } from '../fakes/timers.js';
import { house, moveHouse, useHouse } from './house-rig.js';

useHouse();

describe('a server that dies', () => {
  it('is brought back at once, with one start for all GPUs', async () => {
    await house.running('A', 0, 1);
    house.runner.hold('start');
    house.runner.crash('A');
    const call = await house.runner.nextCall('start');
    expect(house.status()).toEqual(['A 0 STARTING', 'A 1 STARTING']);
    call.succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    expect(house.runner.calls).toEqual(['start A [0,1]']);
  });

  it('again and again is brought back with growing delay, and then given up', async () => {
    await house.running('A', 0);
    const delays: number[] = [];
    for (let death = 1; death <= 3; death += 1) {
      house.runner.crash('A');
      await settled();
      let waited = 0;
      while (house.status()[0] !== 'A 0 RUNNING' && waited < 10) {
        await pass(1000);
        waited += 1;
      }
      delays.push(waited);
    }
    expect(delays).toEqual([0, 2, 4]);
    house.runner.crash('A');
    await settled();
    expect(house.placement('A', 0)?.error).toMatch(/^SERVER_LOST: The server died 4 times in a row/);
    expect(house.store.wanted()).toEqual({ A: ['0 failed'] });
    expect(house.runner.calls).toEqual(['start A [0]', 'start A [0]', 'start A [0]', 'stop A [0]']);
  });

  it('after a stable time is brought back at once, however often it died before', async () => {
    await house.running('A', 0);
    for (let day = 0; day < 10; day += 1) {
      await pass(60_000);
      house.runner.crash('A');
      await settled();
      expect(house.status()).toEqual(['A 0 RUNNING']);
    }
  });

  it('and takes only its own models with it', async () => {
    await house.running('A', 0);
    await house.running('B', 0);
    house.runner.crash('A');
    await settled();
    expect(house.history('B')).toEqual([]);
  });

  it('is never brought back against max_attempts: 0', async () => {
    await moveHouse({ restart: { max_attempts: 0 } });
    await house.running('A', 0);
    house.runner.crash('A');
    await settled();
    expect(house.placement('A', 0)?.status).toBe('ERROR');
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });
});
