import {
  IllegalTransitionError,
  nextStatus,
  PLACEMENT_STATUSES,
  type PlacementEvent,
  type PlacementStatus,
} from '../../src/models/deployment/placement-state.js';

/** The table of the design, written down a second time; `-` cannot happen. */
const TABLE: Record<PlacementStatus, Record<PlacementEvent, PlacementStatus | '-'>> = {
  STOPPED: { start: 'STARTING', ready: '-', lost: '-', failed: '-', released: '-' },
  STARTING: { start: '-', ready: 'RUNNING', lost: '-', failed: 'ERROR', released: 'STOPPED' },
  RUNNING: { start: '-', ready: '-', lost: 'STARTING', failed: 'ERROR', released: 'STOPPED' },
  ERROR: { start: 'STARTING', ready: '-', lost: '-', failed: 'ERROR', released: 'STOPPED' },
};

const CASES = PLACEMENT_STATUSES.flatMap((from) =>
  (Object.keys(TABLE[from]) as PlacementEvent[]).map((event) => ({ from, event, to: TABLE[from][event] })),
);

describe('the placement state table', () => {
  it.each(CASES.filter(({ to }) => to !== '-'))('$from + $event → $to', ({ from, event, to }) => {
    expect(nextStatus(from, event)).toBe(to);
  });

  it.each(CASES.filter(({ to }) => to === '-'))('$from + $event cannot happen', ({ from, event }) => {
    expect(() => nextStatus(from, event)).toThrow(IllegalTransitionError);
  });

  it('leads from every status back to STOPPED', () => {
    for (const status of PLACEMENT_STATUSES) {
      expect(status === 'STOPPED' ? status : nextStatus(status, 'released')).toBe('STOPPED');
    }
  });
});
