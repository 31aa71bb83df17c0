import { jest } from '@jest/globals';
import { House } from '../fakes/house.js';
import { useFakeTime } from '../fakes/timers.js';

type Settings = Parameters<typeof House.withMemory>[0];

/** The house of the case that runs. */
export let house: House;

/** From here on, the case has another house: this one, or a booted one with these settings. */
export async function moveHouse(settings?: Settings | House): Promise<void> {
  house = settings instanceof House ? settings : await House.withMemory(settings).boot();
}

/** Each case of the suite gets a booted house in fake time. Afterwards no call broke the rules of the worker. */
export function useHouse(settings: () => Settings = () => ({})): void {
  beforeEach(async () => {
    useFakeTime();
    await moveHouse(settings());
  });

  afterEach(() => {
    expect(house.defects()).toEqual([]);
    expect(house.runner.overlapped).toBe(false);
    jest.useRealTimers();
  });
}

/** How something that may fail later ends: `done`, or its error in words. */
export function outcome(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'done',
    (error: unknown) => String(error),
  );
}

export const start = (gpuId: number) => house.supervisor.start('A', gpuId, {});

export const stop = (gpuId: number) => house.supervisor.stop('A', gpuId);
