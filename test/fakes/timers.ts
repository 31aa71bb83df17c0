import { jest } from '@jest/globals';

/** Timers and dates stand still until a test moves them; promises and I/O go on by themselves. */
export function useFakeTime(): void {
  jest.useFakeTimers({
    now: new Date('2024-01-01T00:00:00.000Z'),
    doNotFake: ['nextTick', 'setImmediate', 'clearImmediate', 'queueMicrotask'],
  });
}

/** Resolves when everything that waits for nothing but promises has run. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

export async function pass(ms: number): Promise<void> {
  await jest.advanceTimersByTimeAsync(ms);
  await settled();
}
