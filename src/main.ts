import 'reflect-metadata';
import { fileURLToPath } from 'node:url';
import { createApp } from './app.js';
import { DomainError, messageOf } from './common/errors.js';
import { createLogger } from './common/logging/logger.js';
import { loadConfig } from './config/load-config.js';
import type { Config } from './config/schema.js';
import { PortInUseError } from './launchers/launcher.js';
import { backends } from './runners/backends.js';
import { holderInWords, isPortTaken, portHolders, portInUseMessage } from './host/ports.js';
import { ServerShutdown } from './models/supervisor/shutdown.js';
import { lockState } from './state/state-lock.js';

const DEFAULT_CONFIG = fileURLToPath(new URL('../config/default.yaml', import.meta.url));

/** @throws PortInUseError; before anything is launched, whereas listening comes last */
async function requirePort({ host, port }: Config['server']): Promise<void> {
  if (!(await isPortTaken(host, port))) return;
  throw new PortInUseError(portInUseMessage(port, holderInWords(await portHolders(port))), { port });
}

async function main(): Promise<void> {
  const config = loadConfig(DEFAULT_CONFIG, process.env, backends);
  // Before the port: of two on one directory, the second is to hear who has the directory.
  lockState(config);
  await requirePort(config.server);
  const { logger, close } = createLogger(config.log);
  const app = await createApp(config, logger);
  let ending = false;

  const shutdown = (signal: string): void => {
    if (ending) return;
    ending = true;
    const { server, shutdown: end } = config;
    const stops = end.policy === 'stop';
    const limitSeconds = server.shutdown_timeout_seconds + (stops ? end.stop_timeout_seconds : 0);
    logger.info({ signal }, `Shutting down; models ${stops ? 'are stopped' : 'go on serving'}`);
    setTimeout(() => {
      logger.error('The shutdown took too long and was cut short');
      process.exit(1);
    }, limitSeconds * 1000).unref();
    app.close().then(
      () => {
        const { failure } = app.get(ServerShutdown);
        if (failure) logger.error({ err: failure }, 'Shut down, and servers are left');
        else logger.info('Shut down');
        close();
        process.exit(failure ? 1 : 0);
      },
      (error: unknown) => {
        logger.error({ err: error }, 'The shutdown failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', shutdown);
  process.on('SIGINT', shutdown);

  await app.listen(config.server.port, config.server.host);
  logger.info(
    {
      url: await app.getUrl(),
      gpus: config.gpus.source,
      ...(config.gpus.source === 'simulated' && { simulated: true }),
    },
    config.gpus.source === 'simulated'
      ? 'Model Inference Client is listening, with SIMULATED GPUs'
      : 'Model Inference Client is listening',
  );
}

main().catch((error: unknown) => {
  // No logger yet, or none that can be trusted: the terminal, or the journal, gets it plainly.
  process.stderr.write(`${error instanceof DomainError ? error.message : messageOf(error)}\n`);
  if (!(error instanceof DomainError) && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n`);
  process.exit(1);
});
