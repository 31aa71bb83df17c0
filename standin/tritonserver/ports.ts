import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer, Server as TcpServer, type AddressInfo } from 'node:net';
import type { RequestListener } from 'node:http';
import type { Endpoint } from './options.js';
import { TritonError } from './triton-error.js';

/** An HTTP server that, like Triton's, never ends a quiet connection by itself. */
export function httpServer(listener: RequestListener): Server {
  return createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, listener);
}

/** Takes a port away from others without speaking gRPC: connections are closed at once. */
export function closingServer(): TcpServer {
  return createTcpServer((socket) => {
    socket.destroy();
  });
}

/** Listens, and returns the port. Throws TritonError where that is not possible. */
export async function listen(server: TcpServer, { address, port }: Endpoint): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const problem = error.code === 'EADDRINUSE' ? 'already in use ' : error.message;
      reject(new TritonError('UNAVAILABLE', `Socket '${address}:${port}' ${problem}`));
    });
    server.listen(port, address, resolve);
  });
  return (server.address() as AddressInfo).port;
}

/**
 * Stops listening and resolves when the last connection is gone, a quiet one too: Triton waits for it.
 * (The `close` of Node's own HTTP server would end quiet connections.)
 */
export function closeAndWait(server: TcpServer): Promise<void> {
  return new Promise((resolve) => {
    TcpServer.prototype.close.call(server, () => {
      resolve();
    });
  });
}
