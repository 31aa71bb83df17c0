import { describe, expect, it } from '@jest/globals';
import { requestCheck } from '../../src/checks/request-check.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { testConfig } from '../fakes/house.js';

const { liveness } = testConfig();

async function linesOf(runner: FakeRunner, settings = liveness): Promise<string[]> {
  const faults = await requestCheck([runner], settings).run(new AbortController().signal);
  return faults.map(({ line }) => line);
}

describe('what the configuration wants of requests that nobody can count', () => {
  it('a drain has no effect, and it says why', async () => {
    const runner = new FakeRunner(['A']);
    expect(await linesOf(runner)).toEqual([]);
    runner.vain = 'Say where.';
    expect(await linesOf(runner)).toEqual([]);
    runner.drain = 10;
    expect(await linesOf(runner)).toEqual(['drain_seconds of A has no effect. Say where.']);
  });

  it('liveness has no effect, unless it is turned off, for all or for the model', async () => {
    class Uncounted extends FakeRunner {
      override cannotFollow(): string {
        return 'Say where.';
      }
    }
    const runner = new Uncounted(['A']);
    expect(await linesOf(runner)).toEqual(['liveness of A has no effect. Say where.']);
    expect(await linesOf(runner, { ...liveness, progress_seconds: 0 })).toEqual([]);
    runner.liveness = { progressSeconds: 0 };
    expect(await linesOf(runner)).toEqual([]);
  });
});
