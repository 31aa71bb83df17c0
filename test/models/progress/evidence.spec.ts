import fc from 'fast-check';
import {
  type ProgressEvidence,
  type ProgressLimits,
  troubleIn,
  withReading,
} from '../../../src/models/worker/progress-evidence.js';
import type { ProgressReading } from '../../../src/runners/progress.js';

const LIMITS: ProgressLimits = { progressMs: 10_000, stallMs: 10_000 };

const reading = (change: Partial<ProgressReading> = {}): ProgressReading => ({
  open: 0,
  done: 0,
  succeeded: 0,
  failed: 0,
  ...change,
});

/** What is said after readings a second apart, the last one included. */
function after(readings: readonly ProgressReading[], limits = LIMITS): string | undefined {
  let evidence: ProgressEvidence | undefined;
  let now = 0;
  for (const each of readings) {
    now += 1000;
    evidence = withReading(evidence, each, limits, now);
  }
  const trouble = evidence && troubleIn(evidence, limits, now);
  return trouble && `${trouble.kind}: ${trouble.words}`;
}

const seconds = (count: number, at: (second: number) => ProgressReading): ProgressReading[] =>
  Array.from({ length: count + 1 }, (_, second) => at(second));

describe('requests that fail', () => {
  it('and none that succeeds, for the whole time, are trouble', () => {
    const failing = (second: number): ProgressReading => reading({ failed: second, done: second });
    expect(after(seconds(10, failing))).toBeUndefined();
    expect(after(seconds(11, failing))).toBe(
      'failing: no request has succeeded for 10 s, and 11 have failed in the backend',
    );
  });

  it('are none while one succeeds now and then', () => {
    const mixed = (second: number): ProgressReading => {
      const succeeded = Math.floor(second / 8);
      return reading({ failed: second * 5, succeeded, done: second * 6 });
    };
    expect(after(seconds(60, mixed))).toBeUndefined();
  });

  it('are none when there was just one', () => {
    expect(after(seconds(60, (second) => reading({ failed: Math.min(second, 1), done: 1 })))).toBeUndefined();
  });

  it('count anew when the server, or the load, began anew', () => {
    const first = seconds(9, (second) => reading({ failed: second + 3, done: second + 3 }));
    const second = seconds(9, (at) => reading({ failed: at, done: at }));
    expect(after([...first, ...second])).toBeUndefined();
  });

  it('before anybody looked are nothing', () => {
    expect(after(seconds(60, () => reading({ failed: 99, done: 99 })))).toBeUndefined();
  });
});

describe('requests that are open', () => {
  it('while nothing is done, for the whole time, are trouble', () => {
    expect(after(seconds(9, () => reading({ open: 3 })))).toBeUndefined();
    expect(after(seconds(10, () => reading({ open: 3 })))).toBe(
      'stalled: nothing was done for 10 s, and 3 requests wait',
    );
    expect(after(seconds(10, () => reading({ open: 1 })))).toMatch(/a request waits$/);
  });

  it('are none while anything is done: tokens of one long request are enough', () => {
    expect(
      after(seconds(600, (second) => reading({ open: 3, done: Math.floor(second / 9) }))),
    ).toBeUndefined();
    expect(
      after(seconds(600, (second) => reading({ open: 1, done: `id ${Math.floor(second / 9)}` }))),
    ).toBeUndefined();
  });

  it('may take the longest that one may take, where that is said', () => {
    const limits = { progressMs: 10_000, stallMs: 100_000 };
    expect(
      after(
        seconds(99, () => reading({ open: 2 })),
        limits,
      ),
    ).toBeUndefined();
    expect(
      after(
        seconds(100, () => reading({ open: 2 })),
        limits,
      ),
    ).toMatch(/^stalled/);
  });

  it('are trouble though clients give up and others ask: a short gap ends nothing', () => {
    expect(after(seconds(13, (second) => reading({ open: second % 3 === 0 ? 0 : 1 })))).toMatch(/^stalled/);
  });

  it('are trouble however rarely anybody looks', () => {
    expect(after([reading({ open: 1 })])).toBeUndefined();
    const rare = withReading(undefined, reading({ open: 1 }), LIMITS, 0);
    const later = withReading(rare, reading({ open: 1 }), LIMITS, 9000);
    expect(troubleIn(withReading(later, reading({ open: 1 }), LIMITS, 18_000), LIMITS, 18_000)).toBeDefined();
  });

  it('are none after a time in which nobody asked', () => {
    const idle = seconds(60, (second) => reading({ open: second < 2 ? 1 : 0 }));
    expect(after([...idle, ...seconds(8, () => reading({ open: 1 }))])).toBeUndefined();
  });

  it('are none any more when nobody waits', () => {
    expect(after([...seconds(20, () => reading({ open: 1 })), reading()])).toBeUndefined();
  });
});

it('what is idle, and what does something well all along, is never in trouble', () => {
  const step = fc.record({ open: fc.integer({ min: 0, max: 5 }), failed: fc.integer({ min: 0, max: 3 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let [failed, succeeded] = [0, 0];
      const well = steps.map(({ open, failed: more }) => {
        failed += more;
        succeeded += 1;
        return reading({ open, failed, succeeded, done: failed + succeeded });
      });
      expect(after(well)).toBeUndefined();
    }),
  );
});
