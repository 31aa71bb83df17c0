import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface FakeContainer {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  running: boolean;
  exitCode: number;
  /** Host pid of its main process; one beyond `pid_max` unless given. */
  pid?: number;
  /** Bytes; none unless given. */
  readonly memoryLimit?: number;
  oomKilled?: boolean;
  /** Ports of the host, on 127.0.0.1. */
  readonly publishes?: readonly number[];
}

/** Answers a request, or returns false to leave it to the fake's own answers. */
export type Override = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * A Docker Engine on a socket of its own that does what no real one can be made to do at will: hang, refuse, break off.
 * It knows containers that a test puts there, and events that a test sends.
 */
export class FakeEngine {
  readonly containers = new Map<string, FakeContainer>();
  /** `GET /events?…`, as they came in. */
  readonly requests: string[] = [];
  override: Override = () => false;
  private readonly streams = new Set<ServerResponse>();

  private constructor(
    private readonly server: Server,
    private readonly directory: string,
    readonly socketPath: string,
  ) {
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
      if (!this.override(request, response)) this.answer(request, response);
    });
  }

  static async start(): Promise<FakeEngine> {
    const directory = await mkdtemp(join(tmpdir(), 'mic-engine-'));
    const socketPath = join(directory, 'docker.sock');
    const server = createServer();
    server.listen(socketPath);
    await once(server, 'listening');
    return new FakeEngine(server, directory, socketPath);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Open event streams. */
  get listeners(): number {
    return this.streams.size;
  }

  put(container: FakeContainer): void {
    this.containers.set(container.id, container);
  }

  /** A container ends; with `tell`, the streams hear of it. */
  end(id: string, exitCode: number, tell: boolean): void {
    const container = this.containers.get(id);
    if (!container) throw new Error(`no container ${id}`);
    container.running = false;
    container.exitCode = exitCode;
    if (!tell) return;
    const Attributes = { ...container.labels, name: container.name, exitCode: String(exitCode) };
    this.send(`${JSON.stringify({ Type: 'container', Action: 'die', Actor: { ID: id, Attributes } })}\n`);
  }

  /** Writes to every event stream, as it is. */
  send(text: string): void {
    for (const stream of this.streams) stream.write(text);
  }

  /** Breaks every event stream off. */
  breakStreams(): void {
    for (const stream of this.streams) stream.socket?.destroy();
  }

  /** What `nvidia-smi -L` writes in a container; `hangs`: it never ends; `undefined`: there is no such program. */
  smi: (id: string) => string | undefined = () => undefined;
  /** Programs started in containers. */
  execs: { readonly container: string; isRunning: boolean }[] = [];

  private answerExec(path: string, response: ServerResponse): boolean {
    const container = /^\/containers\/([^/]+)\/exec$/.exec(path)?.[1];
    if (container !== undefined) {
      this.execs.push({ container, isRunning: false });
      json(response, 201, { Id: `exec-${this.execs.length - 1}` });
      return true;
    }
    const [, number, verb] = /^\/exec\/exec-(\d+)\/(start|json)$/.exec(path) ?? [];
    const exec = this.execs[Number(number)];
    if (!exec) return false;
    if (verb === 'json') {
      json(response, 200, { Running: exec.isRunning, ExitCode: exec.isRunning ? null : 0 });
      return true;
    }
    const output = this.smi(exec.container);
    if (output === undefined) {
      const message =
        'OCI runtime exec failed: exec: "nvidia-smi": executable file not found in $PATH: unknown';
      json(response, 400, { message });
    } else if (output === 'hangs') {
      exec.isRunning = true;
      response.writeHead(200).flushHeaders();
    } else {
      // A frame, as the Engine sends what has no terminal.
      const text = Buffer.from(output);
      const header = Buffer.alloc(8);
      header.writeUInt8(1, 0);
      header.writeUInt32BE(text.length, 4);
      response.writeHead(200).end(Buffer.concat([header, text]));
    }
    return true;
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://engine');
    if (this.answerExec(url.pathname, response)) return;
    if (url.pathname === '/events') {
      this.streams.add(response);
      response.on('close', () => this.streams.delete(response));
      response.writeHead(200, { 'Content-Type': 'application/json' }).flushHeaders();
      return;
    }
    if (url.pathname === '/containers/json') {
      const listed = [...this.containers.values()].filter(({ labels }) => hasAll(labels, url));
      json(
        response,
        200,
        listed.map(({ id, name, publishes = [] }) => ({
          Id: id,
          Names: [`/${name}`],
          Ports: publishes.map((port) => ({ IP: '127.0.0.1', PublicPort: port, Type: 'tcp' })),
        })),
      );
      return;
    }
    const inspected = /^\/containers\/([^/]+)\/json$/.exec(url.pathname)?.[1];
    const container = [...this.containers.values()].find(
      ({ id, name }) => id === inspected || name === inspected,
    );
    if (container) json(response, 200, inspection(container));
    else json(response, 404, { message: `No such thing: ${url.pathname}` });
  }
}

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

function inspection(container: FakeContainer): unknown {
  const {
    id,
    name,
    labels,
    running,
    exitCode,
    pid = 4_000_000,
    memoryLimit = 0,
    oomKilled = false,
  } = container;
  return {
    Id: id,
    Name: `/${name}`,
    Config: { Labels: labels },
    HostConfig: { Memory: memoryLimit },
    State: {
      Status: running ? 'running' : 'exited',
      Running: running,
      OOMKilled: oomKilled,
      Pid: running ? pid : 0,
      ExitCode: exitCode,
      Error: '',
      StartedAt: '2026-01-01T00:00:00Z',
    },
  };
}

/** Of the labels that a listing asks for, `key=value` or `key`. */
function hasAll(labels: Readonly<Record<string, string>>, url: URL): boolean {
  const { label = [] } = JSON.parse(url.searchParams.get('filters') ?? '{}') as { label?: string[] };
  return label.every((each) => {
    const [key = '', value] = each.split(/=(.*)/s);
    return key in labels && (value === undefined || labels[key] === value);
  });
}
