import { house, useHouse } from './house-rig.js';

export const AT_WORK = { open: 3, finished: 7 };

/** Each case begins with a model that serves on GPU 0. */
export function useServingHouse(): void {
  useHouse();
  beforeEach(() => house.running('A', 0));
}

/** A stop, and how it ended so far: `undefined` while it is under way. */
export function stop(asked: { drainSeconds?: number; force?: boolean } = {}, gpuId = 0, model = 'A') {
  const stopping = { answer: undefined as string | undefined };
  house.supervisor.stop(model, gpuId, asked).then(
    ({ placement }) => (stopping.answer = placement?.status),
    (error: unknown) => (stopping.answer = (error as { code: string }).code),
  );
  return stopping;
}
