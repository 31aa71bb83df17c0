import { DomainError, messageOf, systemCodeOf } from './common/errors.js';
import { settingInWords } from './config/environment.js';
import type { Config } from './config/schema.js';
import { holderInWords, listenFault, portHolders, portInUseMessage } from './host/ports.js';
import { PortInUseError } from './launchers/launcher.js';

/** This service cannot listen where its configuration says. */
export class CannotListenError extends DomainError {
  readonly code = 'CANNOT_LISTEN';
  readonly kind = 'internal';
}

type Address = Pick<Config['server'], 'host' | 'port'>;
/** The variables in use, by the dotted key that each sets. */
type Variables = ReadonlyMap<string, string>;

/** Before anything is launched, whereas listening comes last. @throws PortInUseError, CannotListenError */
export async function requireAddress(address: Address, variables: Variables): Promise<void> {
  const fault = await listenFault(address.host, address.port);
  if (fault) throw await addressError(fault, address, variables);
}

/** What an attempt to listen has failed with, as an error that names the key to correct. */
export async function addressError(
  fault: unknown,
  { host, port }: Address,
  variables: Variables,
): Promise<DomainError> {
  const [hostKey = '', portKey = ''] = ['server.host', 'server.port'].map((key) =>
    settingInWords(key, variables),
  );
  const sentence = (message: string): CannotListenError =>
    new CannotListenError(message, { host, port }, { cause: fault });
  switch (systemCodeOf(fault)) {
    case 'EADDRINUSE': {
      const holder = holderInWords(await portHolders(port));
      return new PortInUseError(portInUseMessage(port, holder, portKey), { port });
    }
    case 'EADDRNOTAVAIL':
      return sentence(`${host} is no address of this host: correct ${hostKey}.`);
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return sentence(`${host} leads to no address: correct ${hostKey}.`);
    case 'EACCES':
      return sentence(`This service may not listen on port ${port}: allow it, or correct ${portKey}.`);
    default:
      return sentence(
        `This service cannot listen on ${host}, port ${port} (${messageOf(fault)}): correct ${hostKey}, or ${portKey}.`,
      );
  }
}
