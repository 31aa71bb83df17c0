import { balanceOf } from '../../../src/models/room/arithmetic.js';
import type { Occupant } from '../../../src/models/room/occupant.js';

const occupant = (over: Partial<Occupant>): Occupant => ({
  modelName: 'A',
  gpuId: 0,
  pid: 10,
  state: 'running',
  estimateMiB: 4000,
  policy: 'shared',
  ...over,
});
const leftWith = (held: [number, number | null][], used: number, ...occupants: Occupant[]): number =>
  balanceOf(
    { totalMiB: 10_000, usedMiB: used, heldByServer: new Map(held), foreign: [] },
    occupants,
    'N',
    1000,
  ).leftMiB;

describe('what is left on a GPU', () => {
  it.each<[string, number, number]>([
    ['all of an empty one', leftWith([], 0), 10_000],
    ['what others use is gone', leftWith([], 3000), 7000],
    [
      'a start without a process is reserved in full',
      leftWith([], 0, occupant({ pid: null, state: 'starting' })),
      6000,
    ],
    ['a server that grows counts once', leftWith([[10, 1500]], 1500, occupant({ state: 'starting' })), 6000],
    ['a server beyond its estimate reserves nothing', leftWith([[10, 5000]], 5000, occupant({})), 5000],
    [
      'a shared server holds for all of its models',
      leftWith([[10, 5000]], 5000, occupant({}), occupant({ modelName: 'B', estimateMiB: 2000 })),
      4000,
    ],
    [
      'the memory of a model nobody knows is not that of the one that starts beside it',
      leftWith(
        [[10, 5000]],
        5000,
        occupant({ estimateMiB: null }),
        occupant({ modelName: 'B', state: 'starting' }),
      ),
      1000,
    ],
    ['what the driver does not tell is not counted twice', leftWith([[10, null]], 4000, occupant({})), 6000],
    [
      'what a model takes when it wakes is reserved',
      leftWith([[10, 500]], 500, occupant({ sleeping: true })),
      6000,
    ],
    [
      'the same where the driver does not tell',
      leftWith([[10, null]], 500, occupant({ sleeping: true })),
      5500,
    ],
    [
      'a model that leaves reserves nothing',
      leftWith([[10, 4000]], 4000, occupant({ state: 'leaving' })),
      6000,
    ],
    [
      'the model itself gets back what it is letting go of',
      leftWith([[10, 4000]], 4000, occupant({ modelName: 'N', state: 'leaving' })),
      10_000,
    ],
  ])('%s', (_name, left, expected) => {
    expect(left).toBe(expected);
  });
});
