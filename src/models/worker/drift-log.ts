import type { Logger } from '../../common/logging/logger.js';
import type { PlacementObservation } from '../../runners/observation.js';

type Seen = Pick<PlacementObservation, 'serverName' | 'pid' | 'outdated'>;

/** Says of each server once that it runs as the configuration was, and not as it is now. Nothing else is done about it. */
export class DriftLog {
  /** By server: its run, and what was said of it. */
  private readonly said = new Map<string, string>();

  constructor(private readonly logger: Pick<Logger, 'warn'>) {}

  seen({ serverName, pid, outdated = [] }: Seen): void {
    if (serverName === null) return;
    const words = `${String(pid)} ${outdated.join()}`;
    if (this.said.get(serverName) === words) return;
    this.said.set(serverName, words);
    if (outdated.length === 0) return;
    this.logger.warn(
      { server: serverName, pid, outdated },
      `${serverName} runs as it was launched, and the configuration has changed since: ${outdated.join(', ')}. It stays so until it is launched anew`,
    );
  }
}
