import { EngineUnavailableError, StopFailedError } from '../launcher.js';
import { pollUntil } from '../../common/deadline.js';
import type { Engine } from './engine.js';
import { engineWords, statusOf } from './engine-errors.js';

const GONE_INTERVAL_MS = 100;

/** 304: it had stopped; 404: it is not there; 409: its removal is under way. All are as good as done. */
function isDone(error: unknown): boolean {
  const status = statusOf(error);
  return status === 304 || status === 404 || status === 409;
}

/** Stops and removes the container with `id`, and makes sure that it is gone. */
export class ContainerStop {
  constructor(private readonly engine: Engine) {}

  /**
   * @param graceSeconds from the polite signal to the forced one
   * @throws StopFailedError when it is still there; EngineUnavailableError; the signal's reason
   */
  async stop(id: string, name: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    const t = Math.ceil(graceSeconds);
    const limitMs = t * 1000 + this.engine.requestTimeoutMs;
    try {
      await this.passOver(isDone, () =>
        this.engine.call(
          signal,
          (docker, abortSignal) => docker.getContainer(id).stop({ t, abortSignal }),
          limitMs,
        ),
      );
      await this.remove(id, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof EngineUnavailableError || error instanceof StopFailedError) throw error;
      throw new StopFailedError(
        `Container ${name} could not be stopped: ${engineWords(error)}; see \`docker inspect ${name}\`, and restart Docker if it hangs`,
        { name, containerId: id },
        { cause: error },
      );
    }
    await this.requireGone(id, name, signal);
  }

  /** Removes a container by force. @throws an error with `statusCode`, EngineUnavailableError */
  async remove(id: string, signal: AbortSignal): Promise<void> {
    await this.passOver(isDone, () =>
      this.engine.call(signal, (docker, abortSignal) => {
        // abortSignal: not in dockerode's types of this call alone.
        const options: object = { force: true, v: true, abortSignal };
        return docker.getContainer(id).remove(options);
      }),
    );
  }

  private async passOver(
    isHarmless: (error: unknown) => boolean,
    work: () => Promise<unknown>,
  ): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isHarmless(error)) throw error;
    }
  }

  private async requireGone(id: string, name: string, signal: AbortSignal): Promise<void> {
    const end = performance.now() + this.engine.requestTimeoutMs;
    const isGone = async (): Promise<true | undefined> => {
      const found = await this.engine.find(signal, (docker, abortSignal) =>
        docker.getContainer(id).inspect({ abortSignal }),
      );
      if (!found) return true;
      if (performance.now() < end) return undefined;
      const pid = found.State.Pid > 0 ? ` (process ${found.State.Pid})` : '';
      throw new StopFailedError(
        `Container ${name} could not be removed: it is still ${found.State.Status}${pid}; see \`docker inspect ${name}\``,
        { name, containerId: id, pid: found.State.Pid },
      );
    };
    await pollUntil(isGone, { intervalMs: GONE_INTERVAL_MS, signal });
  }
}
