import { type Examiner, foundBy } from '../common/examiner.js';
import { type Launcher, type LaunchSpec, PortInUseError } from '../launchers/launcher.js';

/** A server that may be launched. */
export interface LaunchToBe {
  readonly launcher: Launcher;
  /** The ports that it would get now. @throws PortInUseError */
  readonly look: (signal: AbortSignal) => Promise<readonly number[]>;
  /** On these ports; on none while nobody can tell which are free. */
  readonly specOn: (ports: readonly number[]) => LaunchSpec;
  /** It runs, or a launch or a stop is under way. */
  readonly isThereOrComing: (signal: AbortSignal) => Promise<boolean>;
}

/**
 * The checks of a launch, unless the server runs already. Nothing is changed or reserved.
 * @throws what `Launcher.check` throws; PortInUseError when no port is left
 */
export async function checkLaunch(launch: LaunchToBe, signal: AbortSignal, examine: Examiner): Promise<void> {
  const { launcher, look, specOn } = launch;
  if (await foundBy(examine, 'start', () => launch.isThereOrComing(signal), false)) return;
  await unless(isComing(launch, signal), async () => {
    const seen = await foundBy(examine, 'ports', () => look(signal), []);
    await launcher.check(specOn(seen), signal, (subject, check, weight) => {
      const checked = (): Promise<void> => unless(isGivenAway(seen, launch, signal), check);
      return examine(subject, () => unless(isComing(launch, signal), checked), weight);
    });
  });
}

/** @throws what `check` throws, unless that is no obstacle any more */
async function unless(
  isPast: (error: unknown) => Promise<boolean>,
  check: () => Promise<unknown>,
): Promise<void> {
  try {
    await check();
  } catch (error) {
    if (!(await isPast(error))) throw error;
  }
}

/** What a check finds in the way may be this very server, which somebody else has launched meanwhile. */
function isComing({ isThereOrComing }: LaunchToBe, signal: AbortSignal): () => Promise<boolean> {
  return async () => {
    const isThere = await isThereOrComing(signal).catch(() => false);
    signal.throwIfAborted();
    return isThere;
  };
}

/** Nobody keeps the ports that a check has seen: another server may have got them since, and this one gets others then. */
function isGivenAway(
  seen: readonly number[],
  { look }: LaunchToBe,
  signal: AbortSignal,
): (error: unknown) => Promise<boolean> {
  return async (error) => error instanceof PortInUseError && String(await look(signal)) !== String(seen);
}
