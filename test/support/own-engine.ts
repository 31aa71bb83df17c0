import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const PROVISION = join(process.cwd(), 'test/real/provision');

/**
 * Whether the Engine is one that the provisioning script has started, so that a test may stop it. With REQUIRE_REAL=1
 * another one is a failure, never a skip.
 * @throws when it is required and not ours
 */
export async function engineIsOurs(): Promise<boolean> {
  try {
    await run('bash', ['-c', '. "$0" && our_dockerd', join(PROVISION, 'common.sh')]);
    return true;
  } catch (error) {
    const text =
      'The Docker Engine was not started by test/real/provision/provision.sh, so it is not ours to stop';
    if (process.env.REQUIRE_REAL === '1') throw new Error(text, { cause: error });
    process.stderr.write(`${text}: the tests that stop it are skipped.\n`);
    return false;
  }
}

/** Ends our Engine, with everything it runs. @throws when there was none of ours to be stopped */
export async function stopEngine(): Promise<void> {
  const { stdout } = await run('bash', [join(PROVISION, 'stop.sh')]);
  if (!stdout.includes('stopped')) throw new Error(`The Engine was not stopped: ${stdout}`);
}

/** It outlives the suite, as every suite uses it: its environment must not name the directory of this one. */
export async function startEngine(): Promise<void> {
  const env = { ...process.env };
  delete env.TMPDIR;
  await run('bash', [join(PROVISION, 'dockerd.sh')], { env });
}
