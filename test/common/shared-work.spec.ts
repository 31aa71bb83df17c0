import { jest } from '@jest/globals';
import { SharedWork } from '../../src/common/shared-work.js';

describe('work that is shared', () => {
  const { signal } = new AbortController();

  it('is done once for all who ask at once, and anew for who asks later', async () => {
    const work = new SharedWork<number>();
    let done = 0;
    const next = (): Promise<number> => Promise.resolve((done += 1));
    const asked = ['a', 'a', 'b'].map((key) => work.run(key, signal, next));
    expect(await Promise.all(asked)).toEqual([1, 1, 2]);
    expect(await work.run('a', signal, next)).toBe(3);
  });

  it('fails for all, and is done anew for who asks later', async () => {
    const work = new SharedWork<number>();
    const fail = (): Promise<number> => Promise.reject(new Error('no answer'));
    const asked = await Promise.allSettled([work.run('a', signal, fail), work.run('a', signal, fail)]);
    expect(asked.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await work.run('a', signal, () => Promise.resolve(1))).toBe(1);
  });

  it('goes on while one waits for it, and ends with the last', async () => {
    const work = new SharedWork<string>();
    const callers = [new AbortController(), new AbortController()] as const;
    let own: AbortSignal | undefined;
    const hang = (end: AbortSignal): Promise<string> => {
      own = end;
      return new Promise(() => undefined);
    };
    const asked = callers.map((caller) => work.run('a', caller.signal, hang));
    callers[0].abort(new Error('late'));
    await expect(asked[0]).rejects.toThrow('late');
    expect(own?.aborted).toBe(false);
    callers[1].abort(new Error('late too'));
    await expect(asked[1]).rejects.toThrow('late too');
    expect(own?.aborted).toBe(true);
    expect(await work.run('a', signal, () => Promise.resolve('anew'))).toBe('anew');
  });

  it('does not begin for who has given up', async () => {
    const work = new SharedWork<number>();
    const begun = jest.fn(() => Promise.resolve(1));
    await expect(work.run('a', AbortSignal.abort(new Error('late')), begun)).rejects.toThrow('late');
    expect(begun).not.toHaveBeenCalled();
  });
});
