import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { DeadlineError, within } from '../../common/deadline.js';
import type { NvmlReply, NvmlRequest } from './nvml-messages.js';

/** The process did not answer in time and was killed, or ended by itself. `message` says which. */
export class NvmlProcessGoneError extends Error {}

interface Waiter {
  readonly resolve: (reply: NvmlReply) => void;
  readonly reject: (error: NvmlProcessGoneError) => void;
}

/**
 * A process of its own for NVML. Not a worker thread: a driver call that hangs would keep even `process.exit()` of this
 * service waiting for it, and a crash inside the library would end the service. Does not keep the service alive.
 */
export class NvmlProcess {
  /** Resolves when the process has ended, which after `kill` can take as long as the kernel holds a driver call. */
  readonly exited: Promise<void>;
  hasExited = false;
  private readonly child: ChildProcess;
  private readonly waiters: Waiter[] = [];
  private gone: NvmlProcessGoneError | undefined;

  /** @param entry compiled `nvml-child.js` */
  constructor(entry: URL, library: string) {
    // Without NODE_OPTIONS: a debugger's port or a preloaded module is the service's alone.
    const env = { ...process.env, NODE_OPTIONS: '' };
    const stdio = ['ignore', 'ignore', 'inherit', 'ipc'] as const;
    this.child = fork(fileURLToPath(entry), [library], { execArgv: [], env, stdio: [...stdio] });
    this.child.unref();
    this.child.channel?.unref();
    this.child.on('message', (reply) => this.waiters.shift()?.resolve(reply as NvmlReply));
    this.exited = new Promise((resolve) => {
      const exited = (how: string): void => {
        this.end(`the NVML process ${how}`);
        this.hasExited = true;
        resolve();
      };
      this.child.once('exit', (code, signal) => {
        exited(`ended with ${signal ?? `exit code ${String(code)}`}`);
      });
      this.child.on('error', (error) => {
        if (this.child.pid === undefined) exited(`cannot be started: ${error.message}`);
      });
    });
  }

  /** Nothing comes from this process any more. */
  get isGone(): boolean {
    return this.gone !== undefined;
  }

  /**
   * The next reply; the first is the result of the initialisation.
   * @throws NvmlProcessGoneError; a reply later than `timeoutMs` kills the process
   */
  async receive(timeoutMs: number): Promise<NvmlReply> {
    if (this.gone) throw this.gone;
    try {
      return await within({ ms: timeoutMs }, () => this.next());
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw error;
      throw this.kill(`NVML did not answer within ${timeoutMs} ms`);
    }
  }

  /** One reading of all GPUs. @throws as `receive` */
  sample(timeoutMs: number): Promise<NvmlReply> {
    const request: NvmlRequest = { type: 'sample' };
    // A request that cannot be sent shows as the end of the process.
    if (!this.gone) this.child.send(request, () => undefined);
    return this.receive(timeoutMs);
  }

  /** @returns the error that every later use throws */
  kill(why: string): NvmlProcessGoneError {
    const gone = this.end(why);
    this.child.kill('SIGKILL');
    return gone;
  }

  private next(): Promise<NvmlReply> {
    return new Promise((resolve, reject) => {
      this.waiters.push({ resolve, reject });
    });
  }

  private end(why: string): NvmlProcessGoneError {
    const gone = (this.gone ??= new NvmlProcessGoneError(why));
    for (const waiter of this.waiters.splice(0)) waiter.reject(gone);
    return gone;
  }
}
