import type { GpuNeeds } from '../../src/runners/deployment.js';
import { FakeRunner } from './fake-runner.js';

/** A backend in memory whose models need what the test says. */
export class NeedyRunner extends FakeRunner {
  needs: Record<string, GpuNeeds> = {};
  override gpuNeeds(modelName: string): GpuNeeds {
    return this.needs[modelName] ?? { memoryMiB: null, policy: 'shared' };
  }
}
