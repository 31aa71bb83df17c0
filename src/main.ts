import 'reflect-metadata';
import { fileURLToPath } from 'node:url';
import { commandOf } from './command-line.js';
import { DomainError, messageOf } from './common/errors.js';
import { fileWork } from './common/files/file-work.js';
import { CONFIG_VARIABLE, strayVariables, variablesOf } from './config/environment.js';
import { loadConfig } from './config/load-config.js';
import { endOnFault } from './end-on-fault.js';
import { endOnSignals } from './end-on-signals.js';
import { exit } from './exit.js';
import { backends } from './runners/backends.js';
import { Service } from './service.js';

const DEFAULT_CONFIG = fileURLToPath(new URL('../config/default.yaml', import.meta.url));

let service: Service | undefined;

async function main(): Promise<void> {
  const command = commandOf(process.argv.slice(2));
  if (command.kind === 'print') {
    process.stdout.write(command.text);
    return;
  }
  const file = process.env[CONFIG_VARIABLE];
  if (file) await fileWork.requireAnswers([file]);
  const config = loadConfig(DEFAULT_CONFIG, process.env, backends);
  const stray = strayVariables(process.env);
  if (command.kind === 'check-config') {
    for (const message of stray) process.stderr.write(`Warning: ${message}\n`);
    process.stdout.write('The configuration is valid.\n');
    return;
  }
  service = await Service.create(config, variablesOf(process.env));
  endOnSignals(service);
  endOnFault(service);
  for (const message of stray) service.logger.warn(message);
  await service.listen();
}

main().catch(async (error: unknown) => {
  // There may be no logger yet: the terminal, or the journal, gets it plainly.
  process.stderr.write(`${error instanceof DomainError ? error.message : messageOf(error)}\n`);
  if (!(error instanceof DomainError) && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n`);
  await service?.closeLog();
  await exit(1);
});
