import { DomainError } from '../common/errors.js';
import { isForeign } from '../host/ports.js';
import { BACKEND_LABEL, type LaunchSpec } from './launcher.js';

/** No server can listen on the address that the configuration gives to those of a backend. */
export class BindAddressError extends DomainError {
  readonly code = 'BIND_ADDRESS_UNUSABLE';
  readonly kind = 'internal';
  /** An address can come with its interface. */
  override readonly retry = 'bounded';

  constructor({ bindAddress: address, labels }: Pick<LaunchSpec, 'bindAddress' | 'labels'>) {
    const backend = labels[BACKEND_LABEL];
    const setting = backend === undefined ? 'bind_address' : `runners.${backend}.bind_address`;
    super(
      `${address} is not an address of this host (\`ip addr\` shows those there are): correct ${setting}.`,
      { address, setting },
    );
  }
}

/** @throws BindAddressError */
export async function requireAddress(spec: LaunchSpec): Promise<void> {
  if (spec.ports.length > 0 && (await isForeign(spec.bindAddress))) throw new BindAddressError(spec);
}
