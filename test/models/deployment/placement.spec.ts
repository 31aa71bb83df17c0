import { Placement } from '../../../src/models/deployment/placement.js';
import type { PlacementState } from '../../../src/models/deployment/placement-state.js';
import { toPlacementError } from '../../../src/models/deployment/placement-error.js';
import { IllegalTransitionError } from '../../../src/models/deployment/placement-state.js';
import { ModelLoadError } from '../../../src/runners/errors.js';

const AT = new Date('2024-01-01T00:00:00.000Z');
const ERROR = { code: 'X', message: 'why' };
const SERVER = { pid: 7, port: 8000, serverName: 'server' };

type Change = (placement: Placement) => void;

const start: Change = (placement) => void placement.apply('start', AT);
const ready: Change = (placement) => {
  placement.servedBy(SERVER);
  placement.apply('ready', AT);
};
const lost: Change = (placement) => void placement.apply('lost', AT);
const failed: Change = (placement) => void placement.apply('failed', AT, ERROR);
const released: Change = (placement) => void placement.apply('released', AT);
const leave: Change = (placement) => {
  placement.leave();
};
const drain: Change = (placement) => {
  placement.drain(true);
};
const drainEnds: Change = (placement) => {
  placement.drain(false);
};
const letGo: Change = (placement) => {
  placement.letGo();
};
const sleep: Change = (placement) => {
  placement.sleeps(true);
};
const unclean: Change = (placement) => {
  placement.cleanUp(true);
};
const clean: Change = (placement) => {
  placement.cleanUp(false);
};
const started: Change = (placement) => {
  placement.wasStarted();
};
const tell: Change = (placement) => {
  placement.tell('words');
};

function after(...changes: readonly Change[]): Placement {
  const placement = new Placement(
    0,
    [0, 1].map((id) => ({ id, uuid: null })),
    AT,
  );
  for (const change of changes) change(placement);
  return placement;
}

const seen = (placement: Placement): unknown[] => [
  placement.state.kind,
  placement.status,
  placement.isActive,
  placement.progress,
  placement.pid,
  placement.error,
];

describe('a placement shows', () => {
  it.each<[string, Change[], unknown[]]>([
    ['at first', [], ['stopped', 'STOPPED', false, undefined, null, undefined]],
    ['that starts', [start], ['starting', 'STARTING', true, undefined, null, undefined]],
    ['whose start tells', [start, tell], ['starting', 'STARTING', true, 'words', null, undefined]],
    ['that serves', [start, tell, ready], ['running', 'RUNNING', true, undefined, 7, undefined]],
    ['that sleeps', [start, ready, sleep], ['running', 'RUNNING', true, undefined, 7, undefined]],
    ['that was lost', [start, ready, lost], ['starting', 'STARTING', true, undefined, 7, undefined]],
    ['that failed', [start, ready, failed], ['failed', 'ERROR', false, undefined, null, ERROR]],
    ['to be cleaned up', [start, failed, unclean], ['failed', 'ERROR', false, undefined, null, ERROR]],
    [
      'started after it failed',
      [start, failed, start],
      ['starting', 'STARTING', true, undefined, null, undefined],
    ],
    ['that drains', [start, ready, leave, drain], ['draining', 'RUNNING', true, 'stopping', 7, undefined]],
    [
      'whose drain tells',
      [start, ready, leave, drain, tell],
      ['draining', 'RUNNING', true, 'words', 7, undefined],
    ],
    [
      'whose drain has ended',
      [start, ready, leave, drain, tell, drainEnds],
      ['stopping', 'RUNNING', true, 'stopping', 7, undefined],
    ],
    ['that is stopped', [start, ready, leave], ['stopping', 'RUNNING', true, 'stopping', 7, undefined]],
    ['stopped while it starts', [start, leave], ['stopping', 'STARTING', true, 'stopping', null, undefined]],
    ['stopped after it failed', [start, failed, leave], ['stopping', 'ERROR', false, undefined, null, ERROR]],
    [
      'whose server is gone',
      [start, ready, leave, letGo],
      ['proving', 'RUNNING', true, 'stopping', null, undefined],
    ],
    [
      'whose stop has failed',
      [start, ready, leave, failed],
      ['stopping', 'ERROR', false, undefined, null, ERROR],
    ],
    [
      'whose failed stop has then let go',
      [start, ready, leave, failed, letGo],
      ['proving', 'ERROR', false, undefined, null, ERROR],
    ],
    [
      'whose memory did not come back',
      [start, ready, leave, letGo, failed],
      ['proving', 'ERROR', false, undefined, null, ERROR],
    ],
    [
      'stopped after all',
      [start, ready, leave, failed, letGo, released],
      ['stopped', 'STOPPED', false, undefined, null, undefined],
    ],
    [
      'that is stopped',
      [start, ready, leave, letGo, released],
      ['stopped', 'STOPPED', false, undefined, null, undefined],
    ],
  ])('%s', (_name, changes, expected) => {
    const withTime = expected.map((each) => (each === ERROR ? { ...ERROR, at: AT.toISOString() } : each));
    expect(seen(after(...changes))).toEqual(withTime);
  });

  it('its port with its pid, and neither once the backend has let go', () => {
    const placement = after(start, ready);
    expect([placement.pid, placement.port, placement.serverName]).toEqual([7, 8000, 'server']);
    leave(placement);
    expect([placement.pid, placement.port, placement.serverName]).toEqual([7, 8000, 'server']);
    letGo(placement);
    expect([placement.pid, placement.port, placement.serverName]).toEqual([null, null, null]);
  });

  it('the port it will have while it starts, when its server has no process yet', () => {
    const placement = after(start);
    placement.servedBy({ pid: null, port: 8000, serverName: null });
    placement.servedBy({ pid: null, port: null, serverName: null });
    expect([placement.pid, placement.port]).toEqual([null, 8000]);
  });

  it.each<[string, Change[], boolean]>([
    ['by the word of its backend', [start, ready, sleep], true],
    ['not while it starts', [start, sleep, ready], false],
    ['not once it was lost and is back', [start, ready, sleep, lost, ready], false],
    ['also while it is stopped', [start, ready, sleep, leave], true],
    ['also while it drains', [start, ready, sleep, leave, drain], true],
    ['also while its memory is looked after', [start, ready, sleep, leave, letGo], true],
    ['not once its stop has failed', [start, ready, sleep, leave, failed], false],
    ['not once it is stopped', [start, ready, sleep, leave, letGo, released], false],
    ['not once it failed', [start, ready, sleep, failed], false],
  ])('that it sleeps %s', (_name, changes, sleeping) => {
    expect(after(...changes).sleeping).toBe(sleeping);
  });

  it.each<[string, Change[], { isDraining: boolean; hasLetGo: boolean; isUnclean: boolean }]>([
    ['serves', [start, ready], { isDraining: false, hasLetGo: false, isUnclean: false }],
    ['drains', [start, ready, leave, drain], { isDraining: true, hasLetGo: false, isUnclean: false }],
    ['is stopped', [start, ready, leave], { isDraining: false, hasLetGo: false, isUnclean: false }],
    ['gives back', [start, ready, leave, letGo], { isDraining: false, hasLetGo: true, isUnclean: false }],
    ['has failed', [start, failed], { isDraining: false, hasLetGo: false, isUnclean: false }],
    ['is unclean', [start, failed, unclean], { isDraining: false, hasLetGo: false, isUnclean: true }],
    [
      'is cleaned up',
      [start, failed, unclean, clean],
      { isDraining: false, hasLetGo: false, isUnclean: false },
    ],
    [
      'is stopped unclean',
      [start, failed, unclean, leave],
      { isDraining: false, hasLetGo: false, isUnclean: false },
    ],
  ])('how far it is: %s', (_name, changes, expected) => {
    expect(after(...changes)).toMatchObject(expected);
  });
});

describe('a placement', () => {
  it('remembers whether its start has succeeded until it serves, or starts anew', () => {
    const isStarted = ({ state }: { state: PlacementState }): unknown =>
      state.kind === 'starting' ? state.isStarted : state.kind;
    expect(isStarted(after(start))).toBe(false);
    expect(isStarted(after(start, started))).toBe(true);
    expect(isStarted(after(start, started, ready))).toBe('running');
    expect(isStarted(after(start, started, ready, lost))).toBe(false);
    expect(isStarted(after(start, started, failed, start))).toBe(false);
  });

  it('knows the pid of the server that is to be cleaned up, whatever it shows', () => {
    for (const end of [[leave, letGo], [leave, failed], [failed], [failed, unclean, leave, letGo]])
      expect(after(start, ready, ...end)).toMatchObject({ pid: null, formerPid: 7 });
  });

  it('tells what its stop gave back once it is stopped, and not before', () => {
    const memory = { releasedMiB: 5, heldMiB: 1 };
    const placement = after(start, ready, leave, letGo);
    placement.gaveBack(memory);
    expect(placement.releasedMemory).toBeNull();
    released(placement);
    expect(placement.releasedMemory).toEqual(memory);
    expect(after(start, ready, leave, letGo, released).releasedMemory).toBeNull();
  });

  it('changes its time and its status together, and says what that was before', () => {
    const placement = after(start);
    const later = new Date('2024-01-01T00:00:01.000Z');
    placement.leave();
    placement.tell('words');
    expect(placement.updatedAt).toEqual(AT);
    expect(placement.apply('failed', later, ERROR)).toBe('STARTING');
    expect(placement.updatedAt).toEqual(later);
  });

  it.each<[string, Change[], Change]>([
    ['that is stopped cannot become ready', [], ready],
    ['that failed cannot become ready', [start, failed], ready],
    ['that serves cannot start', [start, ready], start],
    ['that is stopped and serves cannot start', [start, ready, leave], start],
  ])('%s', (_name, changes, change) => {
    const placement = after(...changes);
    const before = seen(placement);
    expect(() => {
      change(placement);
    }).toThrow(IllegalTransitionError);
    expect(seen(placement).slice(0, 4)).toEqual(before.slice(0, 4));
  });

  it('that is gone cannot leave', () => {
    expect(() => after(start, leave, letGo, released, leave)).toThrow('what is stopped cannot leave');
  });

  it.each<[string, Change[], Change]>([
    ['a drain, where it is not stopped', [start, ready], drain],
    ['the end of a drain, where there is none', [start, ready, leave], drainEnds],
    ['a drain, once it has let go', [start, ready, leave, letGo], drain],
    ['that the backend has let go, while it drains', [start, ready, leave, drain], letGo],
    ['that the backend has let go, where it is not stopped', [start, ready], letGo],
    ['that it is to be cleaned up, where it has not failed', [start, ready], unclean],
    ['that its start has succeeded, where it serves', [start, ready], started],
  ])('does not heed %s', (_name, changes, change) => {
    const placement = after(...changes);
    const before = placement.state;
    change(placement);
    expect(placement.state).toEqual(before);
  });

  it('holds all its GPUs', () => {
    const placement = after();
    expect([0, 1, 2].map((gpuId) => placement.holds(gpuId))).toEqual([true, true, false]);
    expect([placement.holdsAnyOf([2, 1]), placement.holdsAnyOf([2])]).toEqual([true, false]);
  });
});

it('the error of a placement keeps lines of a log, and no other facts', () => {
  const error = new ModelLoadError('broken', { log: ['line'], server: 'x' });
  expect(toPlacementError(error)).toEqual({ code: 'MODEL_LOAD_FAILED', message: 'broken', log: ['line'] });
  expect(toPlacementError(new ModelLoadError('broken', { log: 'text' }))).not.toHaveProperty('log');
  expect(toPlacementError(new TypeError('x is not'))).toEqual({
    code: 'INTERNAL_ERROR',
    message: 'x is not',
  });
});
