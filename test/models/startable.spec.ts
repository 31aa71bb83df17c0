import type { Deployment } from '../../src/runners/deployment.js';
import type { WaitContext } from '../../src/runners/runner-context.js';
import { DomainError } from '../../src/common/errors.js';
import { orAborted } from '../../src/common/deadline.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { settled } from '../fakes/timers.js';
import { house, stop, useHouse } from './house-rig.js';

class PartMissingError extends DomainError {
  readonly code = 'PART_MISSING';
  readonly kind = 'conflict';
}

/** A is made of B. */
class MadeOfOthers extends FakeRunner {
  private readonly looks = new Set<() => void>();

  override async untilStartable({ modelName }: Deployment, context: WaitContext): Promise<void> {
    while (modelName === 'A' && this.servedOn('B').length === 0) {
      if (!context.wanted().some((each) => each.modelName === 'B'))
        throw new PartMissingError('B does not run');
      context.tell('waiting for B');
      await orAborted(new Promise<void>((resolve) => this.looks.add(resolve)), context.signal);
    }
  }

  look(): void {
    for (const look of this.looks) look();
    this.looks.clear();
  }
}

describe('a model that is made of others', () => {
  let runner: MadeOfOthers;

  useHouse(() => ({ runner: (runner = new MadeOfOthers()) }));
  beforeEach(async () => {
    await house.running('B', 1);
    await house.running('A', 0);
  });

  it('waits for them after the death of their server, and says for which', async () => {
    runner.hold('start');
    runner.crash('A', 'B');
    await house.probe();
    const part = await runner.nextCall('start');
    expect(house.status()).toEqual(['B 1 STARTING', 'A 0 STARTING']);
    expect(house.placement('A', 0)).toMatchObject({ progress: 'waiting for B' });
    expect(runner.calls).toEqual(['start B [1]']);
    part.succeed();
    runner.letGo('start');
    runner.look();
    await settled();
    await house.probe();
    expect(house.status()).toEqual(['B 1 RUNNING', 'A 0 RUNNING']);
    expect(runner.calls).toEqual(['start B [1]', 'start A [0]']);
  });

  it('is an ERROR when one of them does not come back', async () => {
    runner.hold('start');
    runner.crash('A', 'B');
    await house.probe();
    (await runner.nextCall('start')).fail(new PartMissingError('no weights'));
    runner.letGo('start');
    await settled();
    runner.look();
    await settled();
    expect(house.status()).toEqual(['B 1 ERROR', 'A 0 ERROR']);
    expect(runner.calls.filter((call) => call.startsWith('start A'))).toEqual([]);
  });

  it('can be stopped while it waits', async () => {
    runner.hold('start');
    runner.crash('A', 'B');
    await house.probe();
    await stop(0);
    await settled();
    expect(house.status()).toEqual(['B 1 STARTING']);
    (await runner.nextCall('start')).succeed();
    await settled();
  });
});
