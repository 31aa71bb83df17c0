import { pino, type Logger } from 'pino';
import pretty from 'pino-pretty';
import type { Config } from '../../config/schema.js';
import { LogFile } from './log-file.js';

export type { Logger } from 'pino';

/** Token of the service's logger. */
export const LOGGER = Symbol('LOGGER');

/** JSON lines on stdout (readable ones on a terminal), and in `log.file` where configured. */
export function createLogger(config: Config['log']): { logger: Logger; close: () => void } {
  const file = config.file === null ? undefined : new LogFile(config.file);
  const streams = [
    { level: 'trace' as const, stream: process.stdout.isTTY ? pretty({ sync: true }) : process.stdout },
    ...(file ? [{ level: 'trace' as const, stream: file }] : []),
  ];
  const logger = pino(
    {
      level: config.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.multistream(streams),
  );
  return { logger, close: () => file?.close() };
}
