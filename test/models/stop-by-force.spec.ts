import { jest } from '@jest/globals';
import { StopFailedError } from '../../src/launchers/launcher.js';
import { pass, settled } from '../fakes/timers.js';
import { AT_WORK, stop, useServingHouse } from './drain-rig.js';
import { house } from './house-rig.js';

useServingHouse();

describe('a stop by force', () => {
  it('does not ask', async () => {
    house.runner.drain = 600;
    house.runner.work = AT_WORK;
    const stopping = stop({ force: true });
    await settled();
    expect(house.runner.calls).toEqual(['force A [0]']);
    expect(house.runner.workloadCalls).toBe(0);
    expect(stopping.answer).toBe('STOPPED');
    expect(house.store.wanted()).toEqual({});
  });

  it('interrupts a drain', async () => {
    house.runner.work = AT_WORK;
    const first = stop({ drainSeconds: 600 });
    await pass(1000);
    const second = stop({ force: true });
    await settled();
    expect(house.runner.calls).toEqual(['force A [0]']);
    expect([first.answer, second.answer]).toEqual(['STOPPED', 'STOPPED']);
    await pass(10_000);
    expect(house.runner.calls).toEqual(['force A [0]']);
  });

  it('interrupts a stop that is under way', async () => {
    house.runner.hold('stop');
    const first = stop();
    const call = await house.runner.nextCall('stop');
    stop({ force: true });
    await settled();
    expect(call.context.signal.aborted).toBe(true);
    expect(house.runner.calls).toEqual(['stop A [0]', 'force A [0]']);
    expect(first.answer).toBe('STOPPED');
  });

  it('does not interrupt another one', async () => {
    house.runner.hold('force');
    stop({ force: true });
    const call = await house.runner.nextCall('force');
    stop({ force: true });
    await settled();
    expect(call.context.signal.aborted).toBe(false);
    call.succeed();
    await settled();
    expect(house.runner.calls).toEqual(['force A [0]']);
  });

  it('interrupts a start', async () => {
    house.runner.hold('start');
    await house.supervisor.start('B', 1, {});
    await house.runner.nextCall('start');
    stop({ force: true }, 1, 'B');
    await settled();
    expect(house.runner.calls).toEqual(['start B [1]', 'force B [1]']);
  });

  it('is tried once: what follows a failure asks', async () => {
    house.runner.failNext('force', new StopFailedError('it is still there'));
    const stopping = stop({ force: true });
    await settled();
    expect(stopping.answer).toBe('STOP_FAILED');
    expect(house.placement('A', 0)?.status).toBe('ERROR');
    await pass(house.config.restart.initial_delay_ms);
    expect(house.runner.calls).toEqual(['force A [0]', 'stop A [0]']);
    expect(house.status()).toEqual([]);
  });

  it('does not end a server anew while its memory is looked after', async () => {
    house.gpus.processes.set(0, [{ pid: house.runner.pidOn(0), name: 'tritonserver', memoryMiB: 8192 }]);
    const stopping = stop({ force: true });
    await pass(10_000);
    expect(stopping.answer).toBe('GPU_MEMORY_HELD');
    stop({ force: true });
    await pass(15_000);
    expect(new Set(house.runner.calls.slice(1))).toEqual(new Set(['stop A [0]']));
    house.gpus.processes.delete(0);
    await pass(20_000);
    expect(house.status()).toEqual([]);
  });

  it('brings back what the server served besides', async () => {
    await house.running('A', 1);
    await house.running('B', 2);
    const letGo = house.runner.stopByForce.bind(house.runner);
    jest.spyOn(house.runner, 'stopByForce').mockImplementation(async (...call) => {
      await letGo(...call);
      house.runner.crash('A', 'B');
    });
    stop({ force: true });
    await pass(100);
    expect(house.runner.calls[0]).toBe('force A [0] keep [1]');
    expect(house.runner.calls.slice(1).sort()).toEqual(['start A [1]', 'start B [2]']);
    expect(house.history('A')).toContain('1 RUNNING→STARTING');
    expect(house.status().sort()).toEqual(['A 1 RUNNING', 'B 2 RUNNING']);
  });
});
