import type { Launcher } from '../launchers/launcher.js';

/** What a runner is given of the host. */
export interface RunnerHost {
  readonly launchers: {
    get(kind: Launcher['kind']): Launcher;
    /** The same for a look: the launcher does not count as one that has servers of this configuration. */
    peek(kind: Launcher['kind']): Launcher;
  };
  /** Whether something listens on a port where a server would collide with it. */
  readonly isPortTaken: (address: string, port: number) => Promise<boolean>;
  /** Seconds that a launch may take on top when the image has to be pulled. */
  readonly pullTimeoutSeconds: number;
}
