import { type Server, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { systemCodeOf } from '../errors.js';

/** What is no request at all, by Node's own code for it. */
const ANSWERS: Readonly<Record<string, { status: number; code: string; detail: string }>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'HEADERS_TOO_LARGE',
    detail: 'The request headers are too large.',
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: 'REQUEST_TIMEOUT',
    detail: 'The request did not arrive in time: server.request_timeout_seconds is the limit.',
  },
};
const NO_HTTP = { status: 400, code: 'BAD_REQUEST', detail: 'The request is not valid HTTP.' };

/** Answers what never becomes a request in the one form of all errors, and closes its connection. */
export function answerRawErrors(server: Server): void {
  server.on('clientError', (error: Error, socket: Duplex) => {
    if (!socket.writable || systemCodeOf(error) === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const { status, code, detail } = ANSWERS[systemCodeOf(error) ?? ''] ?? NO_HTTP;
    const body = JSON.stringify({ detail, code });
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  });
}
