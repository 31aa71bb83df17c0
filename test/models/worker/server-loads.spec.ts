import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { type Load, ServerLoads } from '../../../src/models/worker/server-loads.js';
import { settled } from '../../fakes/timers.js';

const SERVER = 'server';

/** The loads of one server, at times, ms, that a test says. */
class Rig {
  now = 0;
  readonly loads = new ServerLoads({ monotonicMs: () => this.now });
  /** `C is told: waiting …` and `C loads`, in order. */
  readonly events: string[] = [];

  begin(unit: string, atMs: number, server = SERVER): Load {
    this.now = atMs;
    return this.loads.begin({ server, unit });
  }

  /** Whether this unit is free of a death that it sees at `atMs`, after it was last ready at `readyMs`. */
  isInnocent(unit: string, readyMs: number, atMs: number, server = SERVER): boolean {
    this.now = atMs;
    return this.loads.diedOfAnother({ server, unit }, readyMs);
  }

  beginAlone(unit: string, signal = new AbortController().signal, server = SERVER): Promise<Load> {
    const tell = (words = 'go'): void => void this.events.push(`${unit} is told: ${words}`);
    return this.loads.beginAlone({ server, unit }, signal, tell).then((load) => {
      this.events.push(`${unit} loads`);
      return load;
    });
  }
}

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});

function end(load: Load, outcome: Parameters<Load['end']>[0], atMs: number): void {
  rig.now = atMs;
  load.end(outcome);
}

describe('a death of a server', () => {
  it('is charged to the load that was in flight, not to what served beside it', () => {
    rig.begin('B', 10);
    expect(rig.isInnocent('A', 5, 20)).toBe(true);
    expect(rig.isInnocent('B', 0, 20)).toBe(false);
  });

  it('beside several loads may be of any of them', () => {
    rig.begin('B', 10);
    rig.begin('C', 11);
    expect(rig.isInnocent('A', 5, 20)).toBe(true);
    expect([rig.isInnocent('B', 0, 20), rig.isInnocent('C', 0, 20)]).toEqual([true, true]);
  });

  it('with no load in flight is charged to all', () => {
    end(rig.begin('B', 10), 'through', 15);
    expect(rig.isInnocent('A', 16, 20)).toBe(false);
    expect(rig.isInnocent('B', 16, 21)).toBe(false);
  });

  it('is not charged to a load that the server has answered', () => {
    end(rig.begin('B', 10), 'through', 15);
    expect(rig.isInnocent('A', 12, 20)).toBe(false);
  });

  it('is charged to a load that broke at it, also when others see it later', () => {
    end(rig.begin('B', 10), 'broken', 20);
    expect(rig.isInnocent('A', 12, 900)).toBe(true);
  });

  it('is not charged to a load that began after it', () => {
    expect(rig.isInnocent('A', 5, 20)).toBe(false); // the first witness notes it
    rig.begin('C', 30);
    expect(rig.isInnocent('B', 6, 40)).toBe(false);
  });

  it('is not charged to a load that broke before the server was last seen to serve', () => {
    end(rig.begin('B', 10), 'broken', 20);
    expect(rig.isInnocent('A', 25, 40)).toBe(false);
  });

  it('is not charged to loads into another server', () => {
    rig.begin('B', 10, 'other');
    expect(rig.isInnocent('A', 5, 20)).toBe(false);
    expect(rig.isInnocent('A', 5, 20, 'other')).toBe(true);
  });

  it('that follows another one is judged by itself', () => {
    const first = rig.begin('B', 10);
    expect(rig.isInnocent('A', 5, 20)).toBe(true);
    end(first, 'broken', 21);
    rig.begin('A', 30);
    rig.begin('B', 31);
    expect(rig.isInnocent('C', 35, 40)).toBe(true);
    expect(rig.isInnocent('C', 45, 50)).toBe(true);
  });
});

describe('a suspect', () => {
  it('loads at once where nothing else loads, or only into another server', async () => {
    rig.begin('B', 0, 'other');
    await rig.beginAlone('A');
    expect(rig.events).toEqual(['A loads']);
  });

  it('waits for every load in flight, and says for which', async () => {
    const [b, c] = [rig.begin('B', 0), rig.begin('C', 0)];
    void rig.beginAlone('A');
    await settled();
    end(b, 'through', 10);
    await settled();
    expect(rig.events).toEqual([
      'A is told: waiting: B is loading on server',
      'A is told: waiting: C is loading on server',
    ]);
    end(c, 'broken', 20);
    await settled();
    expect(rig.events.slice(2)).toEqual(['A is told: go', 'A loads']);
  });

  it('goes after another one, in the order of asking; who is not suspected waits for neither', async () => {
    const first = await rig.beginAlone('A');
    const second = rig.beginAlone('B');
    void rig.beginAlone('C');
    await settled();
    const other = rig.begin('D', 5);
    end(first, 'through', 10);
    await settled();
    expect(rig.events.filter((event) => event.endsWith('loads'))).toEqual(['A loads']);
    end(other, 'through', 20);
    (await second).end('left');
    await settled();
    expect(rig.events.filter((event) => event.endsWith('loads'))).toEqual(['A loads', 'B loads', 'C loads']);
  });

  it('that is not wanted any more lets the next one go, and leaves no listener', async () => {
    const load = rig.begin('A', 0);
    const gone = new AbortController();
    const given = expect(rig.beginAlone('B', gone.signal)).rejects.toThrow('stopped');
    const next = rig.beginAlone('C');
    gone.abort(new Error('stopped'));
    await given;
    expect(getEventListeners(gone.signal, 'abort')).toHaveLength(0);
    end(load, 'through', 10);
    await expect(next).resolves.toBeDefined();
    await expect(rig.beginAlone('D', gone.signal)).rejects.toThrow('stopped');
    expect(rig.events.filter((event) => event.startsWith('D'))).toEqual([]);
  });

  it('that loads leaves no listener on its signal', async () => {
    const { signal } = new AbortController();
    await rig.beginAlone('A', signal);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('any sequence of loads', () => {
  const UNITS = ['A', 'B', 'C', 'D', 'E'];
  const command = fc.record({
    kind: fc.constantFrom('begin' as const, 'beginAlone' as const, 'end' as const, 'abort' as const),
    unit: fc.constantFrom(...UNITS),
    server: fc.constantFrom('one', 'two'),
    outcome: fc.constantFrom('through' as const, 'broken' as const, 'left' as const),
  });

  it('begins no suspect beside another load on its server, and ends every wait', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 40 }), async (commands) => {
        let now = 0;
        const loads = new ServerLoads({ monotonicMs: () => now });
        const inFlight = new Map<string, { server: string; load: Load }>();
        const waiting = new Map<string, AbortController>();
        let asked = 0;
        let ended = 0;
        const besides: number[] = [];
        const inFlightOn = (server: string): number =>
          [...inFlight.values()].filter((each) => each.server === server).length;

        const beginAlone = async (unit: string, server: string): Promise<void> => {
          const control = new AbortController();
          waiting.set(unit, control);
          asked += 1;
          try {
            const load = await loads.beginAlone({ server, unit }, control.signal, () => undefined);
            besides.push(inFlightOn(server));
            inFlight.set(unit, { server, load });
          } catch {
            if (!control.signal.aborted) besides.push(NaN);
          }
          waiting.delete(unit);
          ended += 1;
        };

        for (const { kind, unit, server, outcome } of commands) {
          now += 1;
          const isIdle = !waiting.has(unit) && !inFlight.has(unit);
          const isFree = inFlightOn(server) === 0;
          if (kind === 'begin' && isIdle) inFlight.set(unit, { server, load: loads.begin({ server, unit }) });
          if (kind === 'beginAlone' && isIdle) {
            void beginAlone(unit, server);
            await settled();
            expect(inFlight.has(unit)).toBe(isFree);
          }
          if (kind === 'abort') waiting.get(unit)?.abort(new Error('not wanted'));
          if (kind === 'end') {
            inFlight.get(unit)?.load.end(outcome);
            inFlight.delete(unit);
          }
          await settled();
        }
        while (inFlight.size > 0) {
          for (const [unit, { load }] of [...inFlight]) {
            inFlight.delete(unit);
            load.end('through');
            await settled();
          }
        }
        expect({ waiting: waiting.size, ended }).toEqual({ waiting: 0, ended: asked });
        expect(besides.filter((count) => count !== 0)).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });
});
