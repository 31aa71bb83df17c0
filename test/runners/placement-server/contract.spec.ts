import { runnerContract } from '../../contracts/runner-contract.js';
import { TinyRunner, tinyConfig } from '../../fakes/tiny-runner.js';
import { RunnerRig } from '../../support/runner-rig.js';

describe('a backend with one server per placement keeps the contract of runners', () => {
  runnerContract(async () => {
    const rig = await RunnerRig.create();
    return rig.harness({
      model: 'quick',
      failing: 'crash',
      endless: 'slow',
      sharesServer: false,
      create: () => new TinyRunner(tinyConfig({ ports: rig.ports }), rig.host()),
    });
  }, 20_000);
});
