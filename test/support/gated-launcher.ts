import type { Examiner } from '../../src/common/examiner.js';
import {
  EngineUnavailableError,
  Launcher,
  type LaunchSpec,
  type ServerExit,
  type ServerInfo,
} from '../../src/launchers/launcher.js';

/** A launcher that can be away. */
export class GatedLauncher extends Launcher {
  isAway = false;

  constructor(private readonly inner: Launcher) {
    super();
  }

  get kind(): Launcher['kind'] {
    return this.inner.kind;
  }

  async check(spec: LaunchSpec, signal: AbortSignal, examine?: Examiner): Promise<void> {
    await this.there().check(spec, signal, examine);
  }

  async launch(spec: LaunchSpec, signal: AbortSignal): Promise<ServerInfo> {
    return this.there().launch(spec, signal);
  }

  async inspect(name: string, signal: AbortSignal): Promise<ServerInfo | undefined> {
    return this.there().inspect(name, signal);
  }

  async list(labels: Record<string, string>, signal: AbortSignal): Promise<readonly ServerInfo[]> {
    return this.there().list(labels, signal);
  }

  async stop(name: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    await this.there().stop(name, graceSeconds, signal);
  }

  async logs(name: string, tail: number, signal: AbortSignal): Promise<readonly string[]> {
    return this.there().logs(name, tail, signal);
  }

  async serverOf(pid: number, signal: AbortSignal): Promise<string | undefined> {
    return this.there().serverOf(pid, signal);
  }

  onExit(listener: (exit: ServerExit) => void): () => void {
    return this.inner.onExit(listener);
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  private there(): Launcher {
    if (this.isAway) throw new EngineUnavailableError('Cannot connect to the Docker daemon');
    return this.inner;
  }
}
