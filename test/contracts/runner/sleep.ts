import { SleepNotSupportedError } from '../../../src/runners/sleep.js';
import { never, type RunnerRig } from './rig.js';

/** Sleeping and waking. */
export function sleepCases(rig: RunnerRig): void {
  rig.case('sleeps and wakes as it says, or says that it cannot', async () => {
    const [first] = await rig.start(0, 1);
    const quiet = { signal: never, onProgress: () => undefined };
    const sleep = (level: 1 | 2): Promise<void> => rig.runner.sleep(rig.deployment(0, 1), 0, level, quiet);
    const wake = (): Promise<void> => rig.runner.wake(rig.deployment(0, 1), 0, quiet);
    const asleep = async (): Promise<boolean[]> =>
      (await rig.untilPhase('ready', 0, 1)).map(({ sleeping }) => sleeping === true);
    if (rig.runner.sleepTimeoutMs === null) {
      await expect(sleep(1)).rejects.toBeInstanceOf(SleepNotSupportedError);
      await expect(wake()).rejects.toBeInstanceOf(SleepNotSupportedError);
      expect(await asleep()).toEqual([false, false]);
      return;
    }
    await wake(); // is awake
    for (const level of [1, 2] as const) {
      await sleep(level);
      expect(await asleep()).toEqual([true, false]);
      await sleep(1); // stays at its level
      rig.runner = await rig.harness.create();
      expect(await asleep()).toEqual([true, false]);
      await wake();
      expect(await asleep()).toEqual([false, false]);
    }
    await sleep(1);
    expect(await rig.runner.recycle(rig.deployment(0, 1), rig.context())).toBe(false);
    const [again] = await rig.start(0, 1);
    expect(again).toMatchObject({ pid: first?.pid, sleeping: true });
    await rig.stop([1], [0]);
    expect(await rig.phases(0, 1)).toEqual(['absent', 'ready']);
  });

  rig.case('a sleep or a wake that was given up before does nothing', async () => {
    await rig.start(0);
    const gone = { signal: AbortSignal.abort(new Error('given up')), onProgress: () => undefined };
    await expect(rig.runner.sleep(rig.deployment(0), 0, 1, gone)).rejects.toBeInstanceOf(Error);
    await expect(rig.runner.wake(rig.deployment(0), 0, gone)).rejects.toBeInstanceOf(Error);
    expect((await rig.untilPhase('ready', 0)).map(({ sleeping }) => sleeping === true)).toEqual([false]);
  });
}
