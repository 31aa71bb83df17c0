import { stat } from 'node:fs/promises';
import { inSeconds } from '../deadline.js';
import { DomainError } from '../errors.js';
import { mountOf } from './mounts.js';

/** A file system does not answer. What was asked of it was not done, or is done later. */
export class FilesStuckError extends DomainError {
  readonly code = 'FILES_STUCK';
  readonly kind = 'unavailable';
  override readonly retry = 'always';

  constructor(path: string, ms: number) {
    super(
      `${path} does not answer: a read or write of it is not done after ${inSeconds(ms)}. Bring its file system back; what needs none of its files goes on.`,
      { path },
    );
  }
}

export interface FileWorkLimits {
  /** Until work counts as stuck, ms. */
  readonly deadlineMs: number;
  /** Work at once, stuck work included. */
  readonly threads: number;
}

/**
 * libuv has four threads for files and names; half are left for the state, the log and names. Two that hang one after the
 * other are known to be so within the time of a start's checks.
 */
const LIMITS: FileWorkLimits = { deadlineMs: 2000, threads: 2 };
/** A timer that is later than this, ms, tells of this process being held up, not of the file. */
const LAG_MS = 250;

interface Work {
  readonly mount: string;
  readonly path: string;
  readonly begin: () => Promise<unknown>;
  readonly refuse: (error: Error) => void;
  begunAt: number;
  isStuck: boolean;
}

/**
 * Work on files that others own, bounded in number and in time: a file system that hangs (NFS whose server is gone) keeps the
 * thread that asked it until it comes back, and there are only four. One piece of work per mount is under way at a time, so
 * that a mount that hangs costs one thread; until it answers, whoever needs it is refused at once.
 */
export class FileWork {
  private readonly underWay = new Set<Work>();
  private waiting: Work[] = [];

  constructor(
    private readonly limits = LIMITS,
    private readonly mount: (path: string) => string = mountOf,
  ) {}

  /**
   * `work`'s result. Work that is late goes on: nobody can end it.
   * @param path which file or directory is worked on, for the mount and for words
   * @param discard gets the result that comes too late, and what it holds is let go
   * @throws FilesStuckError, what `work` throws
   */
  run<T>(path: string, work: () => Promise<T>, discard: (late: T) => unknown = () => undefined): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let isRefused = false;
      this.waiting.push({
        mount: this.mount(path),
        path,
        begin: () =>
          work()
            .then(async (result) => {
              if (isRefused) await discard(result);
              else resolve(result);
            })
            .catch(reject),
        refuse: (error) => {
          isRefused = true;
          reject(error);
        },
        begunAt: 0,
        isStuck: false,
      });
      this.next();
    });
  }

  /**
   * For the files of a boot, which are read without anything else to do: such a read could not be given up. Whether there is a
   * file, and which, is for whoever reads it.
   * @throws FilesStuckError
   */
  async requireAnswers(paths: readonly string[]): Promise<void> {
    for (const path of paths)
      await this.run(path, () => stat(path)).catch((error: unknown) => {
        if (error instanceof FilesStuckError) throw error;
      });
  }

  /** What does not answer, the oldest first, and for how long, ms. */
  get stuck(): readonly { readonly path: string; readonly ms: number }[] {
    const now = performance.now();
    return [...this.underWay]
      .filter(({ isStuck }) => isStuck)
      .map(({ path, begunAt }) => ({ path, ms: now - begunAt }));
  }

  /** No file can be worked on: all that may be asked at once does not answer. */
  get isStandingStill(): boolean {
    return this.stuck.length >= this.limits.threads;
  }

  private next(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const work of waiting) {
      const before = [...this.underWay].find(({ mount }) => mount === work.mount);
      const [oldest] = this.stuck;
      if (before?.isStuck === true) work.refuse(stuckError(before));
      else if (oldest && this.isStandingStill) work.refuse(new FilesStuckError(oldest.path, oldest.ms));
      else if (before || this.underWay.size >= this.limits.threads) this.waiting.push(work);
      else this.begin(work);
    }
  }

  private begin(work: Work): void {
    work.begunAt = performance.now();
    this.underWay.add(work);
    let timer: NodeJS.Timeout | undefined;
    const watch = (): void => {
      const due = performance.now() + this.limits.deadlineMs;
      timer = setTimeout(() => {
        if (performance.now() - due > LAG_MS) {
          watch();
          return;
        }
        work.isStuck = true;
        work.refuse(stuckError(work));
        this.next();
      }, this.limits.deadlineMs);
      timer.unref();
    };
    watch();
    void work.begin().finally(() => {
      clearTimeout(timer);
      this.underWay.delete(work);
      this.next();
    });
  }
}

function stuckError({ path, begunAt }: Work): FilesStuckError {
  return new FilesStuckError(path, performance.now() - begunAt);
}

/** One for the process: it shares out the threads of the process. */
export const fileWork = new FileWork();

/**
 * What the state's directory takes, one after another, on a thread of its own: no other file keeps the state from its disk. A busy
 * disk syncs late; one that is as late as this is taken for one that hangs.
 */
export const stateWork = new FileWork({ deadlineMs: 5000, threads: 1 });
