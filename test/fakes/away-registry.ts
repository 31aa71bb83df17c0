import { EngineUnavailableError, type Launcher } from '../../src/launchers/launcher.js';
import { LauncherRegistry } from '../../src/launchers/launcher-registry.js';

/** One launcher, whose Engine can be away, and knows whose some processes are. */
export class AwayRegistry extends LauncherRegistry {
  isAway = true;
  readonly servers = new Map<number, string>();
  private onHang: (() => void) | undefined;

  /** From now on it never answers, rather than refusing. Resolves when it is asked. */
  hang(): Promise<void> {
    return new Promise((resolve) => {
      this.onHang = resolve;
    });
  }

  override inUse(): readonly Launcher[] {
    const serverOf: Launcher['serverOf'] = (pid) => this.tell(this.servers.get(pid));
    return [{ serverOf } as Launcher];
  }

  override containerName(): Promise<string | undefined> {
    return this.tell('some_container');
  }

  private tell(answer: string | undefined): Promise<string | undefined> {
    if (this.onHang) {
      this.onHang();
      return new Promise(() => undefined);
    }
    if (this.isAway) return Promise.reject(new EngineUnavailableError('Cannot connect to the Docker daemon'));
    return Promise.resolve(answer);
  }
}
