import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../common/clock.js';
import { fileWork } from '../common/files/file-work.js';
import { type Check, fault, type Fault } from './check.js';

/** Two clocks, of a file server and of this host, may differ by so much, ms. */
const TOLERANCE_MS = 120_000;
const PROGRAM = fileURLToPath(import.meta.url);

/** A clock that is behind what has happened already is wrong: behind the build of this program, or the last state. */
export function clockCheck(clock: Clock, stateDir: string): Check {
  const witnesses = [
    { path: PROGRAM, what: 'this program was built' },
    { path: join(stateDir, 'desired-state.json'), what: 'the state was last written' },
  ];
  return {
    name: 'clock',
    late: 'PREFLIGHT_TIMEOUT',
    run: async () => {
      const now = clock.now();
      const times = await Promise.all(witnesses.map(({ path }) => writtenAt(path)));
      return witnesses.flatMap(({ what }, index): Fault[] => {
        const time = times[index];
        if (time === undefined || now.getTime() > time.getTime() - TOLERANCE_MS) return [];
        return [
          fault(
            `The clock says ${now.toISOString()}, which is before ${what} (${time.toISOString()}).`,
            'Set it, and keep it right (`timedatectl set-ntp true`): the times of status and log are wrong meanwhile.',
          ),
        ];
      });
    },
  };
}

async function writtenAt(path: string): Promise<Date | undefined> {
  try {
    return (await fileWork.run(path, () => stat(path))).mtime;
  } catch {
    return undefined; // there is none yet
  }
}
