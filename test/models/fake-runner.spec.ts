import { runnerContract } from '../contracts/runner-contract.js';
import { FakeRunner } from '../fakes/fake-runner.js';

describe('the fake runner keeps the contract of runners', () => {
  runnerContract(() => {
    // Its world is its own: the next instance is the same one.
    const runner = new FakeRunner();
    return Promise.resolve({
      create: () => runner,
      model: 'A',
      sharesServer: false,
      kill: () => {
        runner.crash('A');
      },
      freeze: () => {
        runner.frozen.add('A');
      },
      cleanUp: () => Promise.resolve(),
    });
  }, 5000);
});
