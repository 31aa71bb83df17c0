import { exit } from './exit.js';
import type { Service } from './service.js';

/** An error that nothing catches ends this process with 1, as Node itself does, once the log has it. Servers go on. */
export function endOnFault(service: Service): void {
  process.on('uncaughtException', (error) => {
    service.logger.fatal(
      { err: error },
      'An error that nothing has caught ends the service; its servers go on',
    );
    void service.closeLog().then(() => exit(1));
  });
}
