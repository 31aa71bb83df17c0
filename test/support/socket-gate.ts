import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';

/**
 * A way to the Docker Engine that can be shut: while it is, there is no socket and no connection, as with an Engine that
 * has stopped. What the Engine runs goes on.
 */
export class SocketGate {
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();
  /** New connections get no answer, as from an Engine that hangs. */
  isSilent = false;

  constructor(
    readonly path: string,
    private readonly target: string,
  ) {}

  get isOpen(): boolean {
    return this.server !== undefined;
  }

  async open(): Promise<void> {
    this.server = createServer((near) => {
      if (this.isSilent) {
        this.sockets.add(near);
        near.on('error', () => near.destroy()).on('close', () => this.sockets.delete(near));
        return;
      }
      const far = connect(this.target);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => {
          this.sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    this.server.listen(this.path);
    await once(this.server, 'listening');
  }

  /** Whoever is connected is no longer, and may connect again at once. */
  breakConnections(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async shut(): Promise<void> {
    const { server } = this;
    if (!server) return;
    this.server = undefined;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
    await rm(this.path, { force: true });
  }
}
