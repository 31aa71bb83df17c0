import { toInstanceInfo } from '../../src/models/api/views.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { house, useHouse } from './house-rig.js';

/** Each case has a second backend, with the model C. */
export function useTwoBackends(): void {
  useHouse(() => ({ moreRunners: [new FakeRunner(['C'], 'other')] }));
}

/** What the API answers. */
export const start = async (model: string, gpuId: number, config: Record<string, unknown> = {}) =>
  toInstanceInfo(await house.supervisor.start(model, gpuId, config));

/** What the API answers. */
export const stop = async (model: string, gpuId: number) =>
  toInstanceInfo(await house.supervisor.stop(model, gpuId));
