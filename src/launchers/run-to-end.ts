import { pollUntil, within } from '../common/deadline.js';
import { type Launcher, LaunchFailedError, type LaunchSpec } from './launcher.js';

const POLL_MS = 50;
const REMOVAL_MS = 10_000;
/** More lines than any program prints for `--help`. */
const LINES = 2000;

/** What a program said that has ended by itself. */
export interface Ended {
  readonly exitCode: number | null;
  readonly lines: readonly string[];
}

/**
 * Runs a program that ends by itself, and removes what is left of it: also when the signal aborts.
 * @throws what `Launcher.launch` throws; the signal's reason
 */
export async function runToEnd(launcher: Launcher, spec: LaunchSpec, signal: AbortSignal): Promise<Ended> {
  await launcher.launch(spec, signal);
  try {
    const { exitCode } = await pollUntil(
      async () => {
        const info = await launcher.inspect(spec.name, signal);
        if (!info)
          throw new LaunchFailedError(`${spec.name} was removed before it ended`, { name: spec.name });
        return info.running ? undefined : info;
      },
      { intervalMs: POLL_MS, signal },
    );
    return { exitCode, lines: await launcher.logs(spec.name, LINES, signal) };
  } finally {
    await within({ ms: REMOVAL_MS }, (limit) => launcher.stop(spec.name, 0, limit));
  }
}
