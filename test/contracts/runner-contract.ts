import { faultCases } from './runner/faults.js';
import { foundCases } from './runner/found.js';
import { placementCases } from './runner/placements.js';
import { type RunnerHarness, RunnerRig } from './runner/rig.js';
import { sleepCases } from './runner/sleep.js';

/** The cases every runner passes. `open` is called before each one. */
export function runnerContract(open: () => Promise<RunnerHarness>, timeoutMs: number): void {
  const rig = new RunnerRig(timeoutMs);

  beforeEach(async () => {
    await rig.open(await open());
  }, timeoutMs);

  afterEach(async () => {
    await rig.harness.cleanUp();
  }, timeoutMs);

  placementCases(rig);
  faultCases(rig);
  sleepCases(rig);
  foundCases(rig);
}
