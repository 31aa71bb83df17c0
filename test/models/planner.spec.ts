import fc from 'fast-check';
import { plan, type PlanInput, type Step } from '../../src/models/worker/planner.js';
import type { PlacementPhase } from '../../src/runners/observation.js';

const QUIET: PlanInput = {
  toRelease: [],
  wanted: new Map(),
  releaseNotBefore: 0,
  startNotBefore: 0,
  exhausted: false,
  waitDeadline: 5000,
  silenceDeadline: 4000,
  isStuck: false,
  now: 1000,
};

const wanted = (...phases: PlacementPhase[]): Pick<PlanInput, 'wanted'> => ({
  wanted: new Map(phases.map((phase, gpuId) => [gpuId, phase])),
});

const TABLE: [string, Partial<PlanInput>, Step][] = [
  ['nothing is wanted', {}, { kind: 'none' }],
  ['all is ready', wanted('ready', 'ready'), { kind: 'none' }],
  ['nobody can tell', wanted('unknown'), { kind: 'none' }],
  ['nobody can tell, for long', { ...wanted('unknown'), now: 9000 }, { kind: 'none' }],
  ['a server is silent', wanted('ready', 'silent'), { kind: 'wait', delayMs: 3000 }],
  ['a server is silent for too long', { ...wanted('silent'), now: 4000 }, { kind: 'recycle' }],
  [
    'a silent server is not ended before a release had its turn',
    { ...wanted('silent'), toRelease: [3], now: 4000 },
    { kind: 'release', gpuIds: [3] },
  ],
  ['all is ready, and nothing gets done', { ...wanted('ready', 'ready'), isStuck: true }, { kind: 'heal' }],
  ['what is stuck is in part not there', { ...wanted('ready', 'absent'), isStuck: true }, { kind: 'start' }],
  ['what is stuck is silent by now', { ...wanted('silent'), isStuck: true }, { kind: 'wait', delayMs: 3000 }],
  ['nobody can tell of what is stuck', { ...wanted('ready', 'unknown'), isStuck: true }, { kind: 'none' }],
  ['nothing is wanted, and it was stuck', { isStuck: true }, { kind: 'none' }],
  [
    'what is stuck waits for a release',
    { ...wanted('ready'), isStuck: true, toRelease: [3], releaseNotBefore: 1500 },
    { kind: 'wait', delayMs: 500 },
  ],
  ['something is absent', wanted('ready', 'absent'), { kind: 'start' }],
  ['something is absent beside what starts', wanted('starting', 'absent'), { kind: 'start' }],
  ['a start must wait', { ...wanted('absent'), startNotBefore: 1300 }, { kind: 'wait', delayMs: 300 }],
  ['a wait is over', { ...wanted('absent'), startNotBefore: 1000 }, { kind: 'start' }],
  [
    'it was tried often enough',
    { ...wanted('absent'), exhausted: true },
    { kind: 'give-up', cause: 'exhausted' },
  ],
  ['it was tried often, and serves now', { ...wanted('ready'), exhausted: true }, { kind: 'none' }],
  ['the backend is at it', wanted('starting'), { kind: 'none' }],
  ['the backend has had its time', { ...wanted('starting'), now: 5000 }, { kind: 'give-up', cause: 'late' }],
  ['a release goes first', { ...wanted('absent'), toRelease: [3] }, { kind: 'release', gpuIds: [3] }],
  ['a release must wait', { toRelease: [3], releaseNotBefore: 1500 }, { kind: 'wait', delayMs: 500 }],
  [
    'a release that must wait holds up no start',
    { ...wanted('absent'), toRelease: [3], releaseNotBefore: 1500 },
    { kind: 'start' },
  ],
  [
    'a release that must wait holds up no verdict',
    { ...wanted('starting'), toRelease: [3], releaseNotBefore: 6500, now: 6000 },
    { kind: 'give-up', cause: 'late' },
  ],
  [
    'both must wait',
    { ...wanted('absent'), toRelease: [3], releaseNotBefore: 1500, startNotBefore: 1200 },
    { kind: 'wait', delayMs: 200 },
  ],
];

const time = fc.integer({ min: 0, max: 100_000 });
const anyInput: fc.Arbitrary<PlanInput> = fc.record({
  toRelease: fc.uniqueArray(fc.integer({ min: 0, max: 7 })),
  wanted: fc.uniqueArray(fc.integer({ min: 0, max: 7 })).chain((gpuIds) =>
    fc
      .array(fc.constantFrom<PlacementPhase>('ready', 'starting', 'absent', 'silent', 'unknown'), {
        minLength: gpuIds.length,
        maxLength: gpuIds.length,
      })
      .map((phases) => new Map(gpuIds.map((gpuId, index) => [gpuId, phases[index] ?? 'unknown']))),
  ),
  releaseNotBefore: time,
  startNotBefore: time,
  exhausted: fc.boolean(),
  waitDeadline: time,
  silenceDeadline: time,
  isStuck: fc.boolean(),
  now: time,
});

describe('the planner', () => {
  it.each(TABLE)('%s', (_name, input, expected) => {
    expect(plan({ ...QUIET, ...input })).toEqual(expected);
  });

  it('never releases, starts or ends anything before its time', () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const step = plan(input);
        if (step.kind === 'release') expect(input.releaseNotBefore).toBeLessThanOrEqual(input.now);
        if (step.kind === 'start') expect(input.startNotBefore).toBeLessThanOrEqual(input.now);
        if (step.kind === 'recycle') expect(input.silenceDeadline).toBeLessThanOrEqual(input.now);
      }),
    );
  });

  it('waits for a time that is still to come, and when it has come there is something to do', () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const step = plan(input);
        if (step.kind !== 'wait') return;
        expect(step.delayMs).toBeGreaterThan(0);
        expect(['release', 'start', 'recycle', 'give-up']).toContain(
          plan({ ...input, now: input.now + step.delayMs }).kind,
        );
      }),
    );
  });

  it('forgets nothing: what is absent or to be released always leads to a step', () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const open = input.toRelease.length > 0 || [...input.wanted.values()].includes('absent');
        if (open) expect(plan(input).kind).not.toBe('none');
      }),
    );
  });

  it('leaves what serves alone, and concludes nothing where nobody can tell', () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const calm = [...input.wanted].filter(([, phase]) => phase === 'ready' || phase === 'unknown');
        expect(plan({ ...input, isStuck: false, toRelease: [], wanted: new Map(calm) })).toEqual({
          kind: 'none',
        });
      }),
    );
  });
});
