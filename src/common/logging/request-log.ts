import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pinoHttp, type HttpLogger } from 'pino-http';
import type { Logger } from './logger.js';

/** What the line of a request tells of its error answer, beside the status. */
export interface Refusal {
  readonly code: string;
  /** The model that the request names. */
  readonly model_name?: string;
}

const refusals = new WeakMap<object, Refusal>();

/** The request of this response is answered with an error. */
export function noteRefusal(response: object, refusal: Refusal): void {
  refusals.set(response, refusal);
}

const REQUEST_ID = /^[A-Za-z0-9_.-]{1,64}$/;

/** The id of a request, in the header of its answer: its own, where that is harmless. */
export function giveRequestId({ headers }: IncomingMessage, response: ServerResponse): string {
  const given = headers['x-request-id'];
  const id = typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
  response.setHeader('X-Request-Id', id);
  return id;
}

/**
 * One line per request, with an id that is taken from `X-Request-Id` where it is harmless, and sent back.
 * Reads that do not fail, or find nothing, go to debug: pollers must not fill a disk. An error answer's line has its code
 * and the model it is about.
 */
export function requestLog(logger: Logger): HttpLogger {
  return pinoHttp({
    logger,
    genReqId: giveRequestId,
    customLogLevel: (request, response, error) => {
      if (response.statusCode === 501) return 'info';
      if (error || response.statusCode >= 500) return 'error';
      // Whoever polls a model that does not run is told so each time.
      const isRead = request.method === 'GET' && (response.statusCode < 400 || response.statusCode === 404);
      return isRead ? 'debug' : 'info';
    },
    customProps: (_request, response) => refusals.get(response) ?? {},
    customSuccessMessage: () => 'request',
    customErrorMessage: () => 'request failed',
    serializers: {
      req: (request: { id: string; method: string; url: string; remoteAddress: string }) => ({
        id: request.id,
        method: request.method,
        url: request.url,
        from: request.remoteAddress,
      }),
      res: (response: { statusCode: number }) => ({ status: response.statusCode }),
    },
  });
}
