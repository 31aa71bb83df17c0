import { posix } from 'node:path';
import { DomainError } from '../common/errors.js';
import { isWithin } from '../common/files/regular-file.js';
import { isReadable } from '../host/paths.js';

/** A path of this host that the configuration names. */
export interface HostPath {
  readonly path: string;
  /** Its dotted key: `runners.triton.runtime_host_path`. */
  readonly setting: string;
  /** A file in its place is as good as none. */
  readonly isDirectory?: boolean;
}

/** The path as it must be found: of a file, the system says that this leads nowhere. */
export function sought({ path, isDirectory }: HostPath): string {
  return isDirectory === true ? `${path}/` : path;
}

/** What is wrong with a path that a launcher misses, as far as this process can see it. */
export async function pathFault({ path, isDirectory }: HostPath): Promise<string | undefined> {
  return isDirectory === true && (await isReadable(path)) ? 'is no directory' : undefined;
}

/** A path of the host that the configuration names is not there, or no directory where one is needed. */
export class HostPathMissingError extends DomainError {
  readonly code = 'HOST_PATH_MISSING';
  readonly kind = 'internal';

  constructor({ path, setting }: HostPath, fault?: string, options?: ErrorOptions) {
    super(
      `${path} ${fault ?? 'is not on this host, or not to be read'}: create it, or correct ${setting}.`,
      { path, setting },
      options,
    );
  }
}

/** Where the host has a path of a container: in the innermost of the mounts around it. `undefined`: in none. */
export function onHost(
  path: string,
  mounts: readonly { readonly hostPath: string; readonly serverPath: string }[],
): string | undefined {
  const around = mounts
    .filter(({ serverPath }) => isWithin(path, serverPath))
    .sort((a, b) => b.serverPath.length - a.serverPath.length);
  const [mount] = around;
  return mount && posix.join(mount.hostPath, posix.relative(mount.serverPath, path));
}
