import { runnerContract } from '../../contracts/runner-contract.js';
import { RunnerRig } from '../../support/runner-rig.js';
import { standinRunner } from './rig.js';

describe('vLLM keeps the contract of runners', () => {
  runnerContract(async () => {
    const rig = await RunnerRig.create();
    return rig.harness({
      model: 'quick',
      failing: 'failing',
      endless: 'slow',
      sharesServer: false,
      create: () => standinRunner(rig),
    });
  }, 20_000);
});
