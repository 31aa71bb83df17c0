import { posix } from 'node:path';
import { DomainError } from '../common/errors.js';

/** A path of this host that the configuration names. */
export interface HostPath {
  readonly path: string;
  /** Its dotted key: `runners.triton.runtime_host_path`. */
  readonly setting: string;
}

/** A path of the host that the configuration names is not there. */
export class HostPathMissingError extends DomainError {
  readonly code = 'HOST_PATH_MISSING';
  readonly kind = 'internal';

  constructor({ path, setting }: HostPath, options?: ErrorOptions) {
    super(
      `${path} is not on this host, or not to be read: create it, or correct ${setting}.`,
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

function isWithin(path: string, directory: string): boolean {
  const way = posix.relative(directory, path);
  return way !== '..' && !way.startsWith('../');
}
