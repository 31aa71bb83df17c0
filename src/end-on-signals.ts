import { exit } from './exit.js';
import type { Service } from './service.js';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * The first SIGTERM or SIGINT ends the service, then this process: with 0, or with 1 when the service did not end
 * in time or left servers that should have ended.
 *
 * SIGHUP ends it in the same way where its terminal is gone: nobody is left who could. Elsewhere it comes from those who would
 * have a service read its files anew, and changes nothing but the log, which says so.
 * @returns takes the handlers off
 */
export function endOnSignals(service: Service): () => void {
  const { logger, config } = service;
  const isOnTerminal = process.stdin.isTTY || process.stdout.isTTY;
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

  const hangUp = (signal: NodeJS.Signals): void => {
    if (isOnTerminal) end(signal);
    else
      logger.warn(
        { signal },
        'SIGHUP changes nothing: the configuration is read at the start alone, and a log file that was moved is opened anew by itself. To end the service, send SIGTERM.',
      );
  };

  for (const signal of SIGNALS) process.on(signal, end);
  process.on('SIGHUP', hangUp);
  return () => {
    process.off('SIGHUP', hangUp);
    for (const signal of SIGNALS) process.off(signal, end);
  };
}
