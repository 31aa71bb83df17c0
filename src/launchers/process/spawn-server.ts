import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import { messageOf, systemCodeOf } from '../../common/errors.js';
import { CommandMissingError, LaunchFailedError, type LaunchSpec } from '../launcher.js';
import { type ProcessIdentity, rowOf } from '../../host/process-identity.js';

export interface SpawnedServer {
  readonly child: ChildProcess;
  readonly identity: ProcessIdentity;
}

/** @param setting the key of the configuration that names it */
export function commandMissing(program: string, searchPath: string, setting?: string): CommandMissingError {
  const [toCorrect, toName] =
    setting === undefined
      ? ['the path in the configuration', 'in the configuration']
      : [setting, `in ${setting}`];
  return new CommandMissingError(
    program.includes('/')
      ? `Command not found: ${program} is not there or not executable; install it, or correct ${toCorrect}`
      : `Command not found: no ${program} on the PATH (${searchPath}); install it, or name its full path ${toName}`,
    { program, ...(setting !== undefined && { setting }) },
  );
}

/**
 * Starts a program as leader of a session and process group of its own, with no tie to this process but being its
 * child. Resolves when the program runs.
 * @throws CommandMissingError, LaunchFailedError
 */
export async function spawnServer(
  { name, command, programSetting: setting }: Pick<LaunchSpec, 'name' | 'command' | 'programSetting'>,
  environment: Readonly<Record<string, string>>,
  log: FileHandle,
): Promise<SpawnedServer> {
  const [program = '', ...args] = command;
  let child: ChildProcess;
  let spawned: Promise<unknown>;
  let row: ReturnType<typeof rowOf> = Promise.resolve(undefined);
  try {
    child = spawn(program, args, { detached: true, env: environment, stdio: ['ignore', log.fd, log.fd] });
    spawned = once(child, 'spawn');
    // In this very turn of the event loop: however soon the child ends, its entry is there until libuv has reaped it.
    if (child.pid !== undefined) row = rowOf(child.pid);
  } catch (error) {
    throw launchFailed(name, error);
  }
  try {
    await spawned;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') throw commandMissing(program, environment.PATH ?? '', setting);
    throw launchFailed(name, error);
  }
  child.on('error', () => {
    // A failed kill() of ours; signals are sent and checked elsewhere.
  });
  child.unref();
  const known = await row;
  if (known) return { child, identity: { pid: known.pid, startTime: known.startTime } };
  throw new LaunchFailedError(`${name} ended before it could be identified; see its log`, { name });
}

function launchFailed(name: string, error: unknown): LaunchFailedError {
  return new LaunchFailedError(
    `${name} could not be started: ${messageOf(error)}`,
    { name },
    { cause: error },
  );
}
