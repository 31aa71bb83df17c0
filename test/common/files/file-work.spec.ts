import { setTimeout as sleep } from 'node:timers/promises';
import { FileWork } from '../../../src/common/files/file-work.js';
import { mountOf, mountPoints } from '../../../src/common/files/mounts.js';
import { ModelRepository } from '../../../src/runners/triton/model-repository.js';

const DEADLINE_MS = 50;

/** A file system that answers when it is told to. */
function hung(): { promise: Promise<string>; answer: () => void } {
  let answer: (() => void) | undefined;
  const promise = new Promise<string>((resolve) => {
    answer = () => {
      resolve('late');
    };
  });
  return { promise, answer: () => answer?.() };
}

/** `/nfs/a/x` is on the mount `/nfs/a`. */
const mount = (path: string): string => path.split('/').slice(0, 3).join('/');
const fileWork = (threads = 2): FileWork => new FileWork({ deadlineMs: DEADLINE_MS, threads }, mount);
const read = (text: string) => () => Promise.resolve(text);

describe('work on files', () => {
  it('is done, with its result and its error', async () => {
    const work = fileWork();
    await expect(work.run('/nfs/a/1', read('text'))).resolves.toBe('text');
    await expect(work.run('/nfs/a/1', () => Promise.reject(new Error('EIO')))).rejects.toThrow('EIO');
    expect(work.stuck).toEqual([]);
  });

  it('that does not answer is refused with its path, and whatever is on its mount at once; the rest goes on', async () => {
    const work = fileWork();
    const first = hung();
    const refused = {
      code: 'FILES_STUCK',
      retry: 'always',
      message: expect.stringContaining('/nfs/a/1') as unknown,
    };
    const late = work.run('/nfs/a/1', () => first.promise);
    // Waits for its turn on the same mount, and is refused with it.
    const behind = work.run('/nfs/a/2', read('never'));
    await expect(late).rejects.toMatchObject(refused);
    await expect(behind).rejects.toMatchObject(refused);
    const begun = performance.now();
    await expect(work.run('/nfs/a/3', read('never'))).rejects.toMatchObject(refused);
    expect(performance.now() - begun).toBeLessThan(DEADLINE_MS);
    await expect(work.run('/nfs/b/1', read('text'))).resolves.toBe('text');
    expect(work.stuck).toMatchObject([{ path: '/nfs/a/1' }]);
    expect(work.isStandingStill).toBe(false);
    first.answer();
    await sleep(1);
    expect(work.stuck).toEqual([]);
    await expect(work.run('/nfs/a/3', read('text'))).resolves.toBe('text');
  });

  it('takes no more threads than it may, however many file systems hang', async () => {
    const work = fileWork();
    let begun = 0;
    const ends = Array.from({ length: 10 }, (_, index) =>
      work.run(`/nfs/${index}/1`, () => {
        begun += 1;
        return hung().promise;
      }),
    );
    const results = await Promise.allSettled(ends);
    expect(results.map(({ status }) => status)).toEqual(Array(10).fill('rejected'));
    expect(begun).toBe(2);
    expect(work.isStandingStill).toBe(true);
    await expect(work.run('/nfs/other/1', read('never'))).rejects.toMatchObject({ code: 'FILES_STUCK' });
    expect(begun).toBe(2);
  });

  it('is one at a time on a mount, in order', async () => {
    const work = fileWork();
    const done: string[] = [];
    let atOnce = 0;
    const run = (name: string): Promise<void> =>
      work.run(`/nfs/a/${name}`, async () => {
        atOnce += 1;
        expect(atOnce).toBe(1);
        await sleep(2);
        done.push(name);
        atOnce -= 1;
      });
    await Promise.all([run('1'), run('2'), run('3')]);
    expect(done).toEqual(['1', '2', '3']);
  });
});

describe('the mount of a path', () => {
  const mounts = mountPoints(
    ['22 1 8:1 / / rw - ext4 /dev/sda1 rw', '40 22 0:9 / /mnt/big\\040disk rw - nfs4 nas:/ rw', ''].join(
      '\n',
    ),
  );

  it('is the innermost one around it, by its text', () => {
    expect(mountOf('/mnt/big disk/models/MAM', mounts)).toBe('/mnt/big disk');
    expect(mountOf('/mnt/big disk', mounts)).toBe('/mnt/big disk');
  });

  it('is the path itself on the root of the host: one that hangs there is behind a link', () => {
    expect(mountOf('/mnt/big disks/MAM', mounts)).toBe('/mnt/big disks/MAM');
  });
});

describe('a model repository whose file system does not answer', () => {
  it('takes one thread, refuses each model at once, and keeps no stop from its end', async () => {
    const work = fileWork();
    const holding = work.run('/nfs/a/x', () => hung().promise);
    await expect(holding).rejects.toThrow('does not answer');
    const repository = new ModelRepository('/nfs/a', work);
    for (const model of ['A', 'B', 'C', 'D', 'E'])
      await expect(repository.check(model)).rejects.toMatchObject({ code: 'FILES_STUCK' });
    await expect(repository.removeConfig('A')).resolves.toBeUndefined();
    expect(work.stuck).toHaveLength(1);
  });
});
