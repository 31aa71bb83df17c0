import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { tryLock } from 'fs-native-extensions';
import * as z from 'zod';
import { DomainError, isDiskFull, messageOf, systemCodeOf } from '../common/errors.js';
import { readRegularSync } from '../common/files/regular-file.js';
import type { Config } from '../config/schema.js';
import { StateReadError } from './desired-state.store.js';

const FILE_NAME = 'service.lock';

/** Another service lives on this state directory: two would undo each other's work. */
export class StateLockedError extends DomainError {
  readonly code = 'STATE_LOCKED';
  readonly kind = 'conflict';
}

const holderSchema = z.object({
  pid: z.int(),
  since: z.string(),
  instance_name: z.string(),
  address: z.string(),
});

/**
 * Makes this service the only one on its state directory, until it releases the lock or its process ends: the kernel
 * holds the lock for the open descriptor and drops it with the process, however that dies, so that none is ever stale.
 * The descriptor is closed on exec: servers that outlive this service do not have it. What the file says is for people
 * only.
 * @param onFull hears that the disk of the directory is full, which is no reason not to run
 * @returns releases the lock
 * @throws StateLockedError when another service has the directory
 * @throws StateReadError when the directory cannot be made, read or written
 */
export function lockState(config: Config, onFull: (error: unknown) => void = () => undefined): () => void {
  const { dir } = config.state;
  const path = join(dir, FILE_NAME);
  let isLocked: boolean;
  let fd: number;
  try {
    makeDirectory(dir);
    fd = openSync(path, 'a+', 0o600);
    isLocked = tryLock(fd);
  } catch (error) {
    throw unusable(dir, error);
  }
  if (!isLocked) {
    closeSync(fd);
    throw new StateLockedError(
      `The state directory ${dir} is in use by ${holderInWords(path)}: stop that service, or give this one a directory of its own (state.dir, MIC_STATE_DIR).`,
      { dir },
    );
  }
  try {
    ftruncateSync(fd);
    const holder = {
      pid: process.pid,
      since: new Date().toISOString(),
      instance_name: config.instance_name,
      address: `${config.server.host}:${config.server.port}`,
    };
    writeSync(fd, `${JSON.stringify(holder)}\n`);
    requireNewFiles(dir);
  } catch (error) {
    // What runs is to be watched, and to be stopped, all the same; a start is refused until there is room.
    if (!isDiskFull(error)) {
      closeSync(fd);
      throw unusable(dir, error);
    }
    onFull(error);
  }
  return () => {
    closeSync(fd);
  };
}

/** The lock file may be writable in a directory that takes no new file, which every write of the state needs. */
function requireNewFiles(dir: string): void {
  const path = join(dir, `.write-check-${process.pid}`);
  try {
    writeFileSync(path, 'x', { mode: 0o600 });
  } finally {
    rmSync(path, { force: true });
  }
}

/** As `mkdir -p`; Node's own never returns where a file system takes no directories and says ENOENT, as /proc does. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' && dirname(path) !== path) {
      makeDirectory(dirname(path));
      mkdirIfMissing(path);
    } else if (!isDirectory(path)) {
      throw error;
    }
  }
}

function mkdirIfMissing(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    // Another service, starting at the same moment, may have made it.
    if (!isDirectory(path)) throw error;
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    // Not there, or not to be seen: what mkdir said of it is the better message.
    return false;
  }
}

function holderInWords(path: string): string {
  try {
    const holder = holderSchema.parse(JSON.parse(readRegularSync(path)));
    return `process ${holder.pid} since ${holder.since} (${holder.instance_name}, ${holder.address})`;
  } catch {
    // It has the lock and has not written yet who it is.
    return 'another service that is just starting';
  }
}

function unusable(dir: string, error: unknown): StateReadError {
  return new StateReadError(
    `Cannot use the state directory ${dir}: ${messageOf(error)}. Set state.dir (MIC_STATE_DIR) to a directory this service may write.`,
    { dir },
    { cause: error },
  );
}
