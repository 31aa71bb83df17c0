import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { TestService } from './service.js';

/** Connections to a service over which a test sends what it likes, HTTP or not. */
export class RawClients {
  private readonly sockets: Socket[] = [];

  constructor(private readonly serviceNow: () => Pick<TestService, 'port'>) {}

  /** @param reads whether the client takes what it is sent */
  async open(first?: string, { reads = true } = {}): Promise<Socket> {
    const socket = connect(this.serviceNow().port, '127.0.0.1');
    this.sockets.push(socket);
    socket.on('error', () => undefined); // how it ends is the service's business
    if (reads) socket.resume();
    await once(socket, 'connect');
    if (first !== undefined) socket.write(first);
    return socket;
  }

  openMany(count: number, first?: string, options?: { reads?: boolean }): Promise<Socket[]> {
    return Promise.all(Array.from({ length: count }, () => this.open(first, options)));
  }

  close(): void {
    for (const socket of this.sockets.splice(0)) socket.destroy();
  }
}
