import { exit } from './exit.js';
import type { Service } from './service.js';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * The first SIGTERM or SIGINT ends the service, then this process: with 0, or with 1 when the service did not end
 * in time or left servers that should have ended.
 * @returns takes the handlers off
 */
export function endOnSignals(service: Service): () => void {
  const { logger, config } = service;
  let isEnding = false;

  const end = (signal: NodeJS.Signals): void => {
    if (isEnding) return;
    isEnding = true;
    const { server, shutdown } = config;
    const stops = shutdown.policy === 'stop';
    const limitSeconds = server.shutdown_timeout_seconds + (stops ? shutdown.stop_timeout_seconds : 0);
    logger.info({ signal }, `Shutting down; models ${stops ? 'are stopped' : 'go on serving'}`);
    setTimeout(() => {
      logger.error('The shutdown took too long and was cut short');
      void service.closeLog().then(() => exit(1));
    }, limitSeconds * 1000).unref();
    void service.close().then((isComplete) => exit(isComplete ? 0 : 1));
  };

  for (const signal of SIGNALS) process.on(signal, end);
  return () => {
    for (const signal of SIGNALS) process.off(signal, end);
  };
}
