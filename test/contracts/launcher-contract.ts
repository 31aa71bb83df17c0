import { Logger } from '@nestjs/common';
import { endCases } from './launcher/ends.js';
import { foundCases } from './launcher/found.js';
import { launchCases } from './launcher/launches.js';
import { type LauncherHarness, LauncherRig } from './launcher/rig.js';

/** The cases every launcher passes. `open` is called before each one. */
export function launcherContract(open: () => Promise<LauncherHarness>, timeoutMs: number): void {
  const rig = new LauncherRig(timeoutMs);

  beforeAll(() => {
    // One case has a listener that fails, which is logged.
    Logger.overrideLogger(false);
  });

  beforeEach(() => rig.open(open), timeoutMs);

  afterEach(() => rig.close(), timeoutMs);

  launchCases(rig);
  foundCases(rig);
  endCases(rig);
}
