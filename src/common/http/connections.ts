import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '../logging/logger.js';

/** Time, ms, over the limit of a request in which Node itself may say that it was too late (408). */
const GRACE_MS = 1000;

export interface ConnectionLimits {
  /** Connections at once, 1 or more. */
  readonly max: number;
  /** Longest silence, ms, of a client whose turn it is: to send its request, or to read its answer. */
  readonly silenceMs: number;
}

/** Time, ms, between two lines of the log that say that there are too many. */
const TOLD_EVERY_MS = 60_000;

/** The last request of a connection; none before the first. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/**
 * Bounds the connections of a server in a way that nobody is locked out by: a new one beyond the limit takes the place of
 * the one that has waited longest for its client. A connection whose request is being worked on gives way to none.
 */
export function boundConnections(server: Server, { max, silenceMs }: ConnectionLimits, logger: Logger): void {
  /** In the order in which each was opened, or had its last answer. */
  const open = new Map<Socket, Exchange | undefined>();
  let toldAt = -TOLD_EVERY_MS;
  const tell = (): void => {
    if (performance.now() - toldAt < TOLD_EVERY_MS) return;
    toldAt = performance.now();
    logger.warn(
      { max_connections: max },
      'There are more connections than server.max_connections: those that wait longest for their clients are closed',
    );
  };

  server.on('connection', (socket: Socket) => {
    open.set(socket, undefined);
    socket.once('close', () => open.delete(socket));
    if (open.size <= max) return;
    tell();
    // The new one is the last of them: it goes where all others are being answered.
    for (const [each, exchange] of open) {
      if (isWorkedOn(exchange)) continue;
      open.delete(each);
      each.destroy();
      return;
    }
  });
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    open.set(socket, { request, response });
    response.once('finish', () => {
      // To the end of the order.
      if (open.delete(socket)) open.set(socket, undefined);
    });
  });
  server.timeout = silenceMs + GRACE_MS;
  server.on('timeout', (socket: Socket) => {
    if (isWorkedOn(open.get(socket))) socket.setTimeout(server.timeout);
    else socket.destroy();
  });
}

/** The request is there, and its answer is not: it is not the client who keeps the other waiting. */
function isWorkedOn(exchange: Exchange | undefined): boolean {
  return exchange !== undefined && exchange.request.complete && !exchange.response.headersSent;
}
