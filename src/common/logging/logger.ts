import { pino, type Logger } from 'pino';
import pretty from 'pino-pretty';
import type { Config } from '../../config/schema.js';
import { LineQueue, type LineSink } from './line-queue.js';
import { LogFile } from './log-file.js';
import { StandardOutput } from './standard-output.js';

export type { Logger } from 'pino';

/** Token of the service's logger. */
export const LOGGER = Symbol('LOGGER');

/** Time, ms, that the end of the log has for what is still to be written. */
const FLUSH_LIMIT_MS = 2000;

/** The service's log, and its end. */
export interface ServiceLog {
  readonly logger: Logger;
  /** Resolves when all is written, or cannot be written in time. Nothing is written after it. */
  readonly close: () => Promise<void>;
}

/**
 * JSON lines on stdout (readable ones on a terminal), and in `log.file` where configured. Logging never waits: what a
 * stalled disk or reader does not take is kept up to a bound, and lost beyond it.
 * @throws LogFileError
 */
export function createLogger(config: Config['log']): ServiceLog {
  const queues: LineQueue[] = [];
  const queueTo = (destination: string, sink: LineSink): LineQueue => {
    const queue = new LineQueue(sink, {
      onFailure: (err) => {
        logger.error({ err, destination }, 'The log cannot be written: its lines are lost until it can');
      },
      onLoss: (lines) => {
        logger.warn(
          { destination, lines },
          'Some lines of the log are lost: they could not be written in time',
        );
      },
    });
    queues.push(queue);
    return queue;
  };
  const file = config.file === null ? [] : [queueTo(config.file, new LogFile(config.file))];
  // A terminal stalls by the hand of its user alone.
  const output = process.stdout.isTTY ? pretty({ sync: true }) : queueTo('stdout', new StandardOutput());
  const logger = pino(
    {
      level: config.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.multistream([output, ...file].map((stream) => ({ level: 'trace' as const, stream }))),
  );
  const close = async (): Promise<void> => {
    await Promise.all(queues.map((queue) => queue.close(FLUSH_LIMIT_MS)));
  };
  return { logger, close };
}
