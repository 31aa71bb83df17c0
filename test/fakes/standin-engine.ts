import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type FakeContainer, FakeEngine, json } from './launcher-engine.js';

const STANDIN = join(process.cwd(), 'dist/standin/tritonserver.js');
const REPOSITORY_IN_CONTAINER = '/models';

interface CreateBody {
  readonly Image: string;
  readonly Cmd: readonly string[];
  readonly Labels: Record<string, string>;
  readonly HostConfig: {
    readonly Memory?: number;
    readonly Mounts: readonly { Source: string; Target: string }[];
  };
}

interface Created {
  readonly container: FakeContainer;
  readonly args: readonly string[];
  /** What it has written. */
  readonly output: string[];
}

/** A Docker Engine whose containers are processes that run the stand-in for Triton, whatever their image. */
export class StandinEngine {
  /** Images it has; others are answered 404. */
  readonly images = new Set<string>();
  /** Called in place of the start of a container; returns the Engine's words of why it cannot be. */
  refuseStart: (() => string | undefined) | undefined;
  private readonly created = new Map<string, Created>();
  private readonly children = new Map<string, ChildProcess>();

  private constructor(readonly fake: FakeEngine) {
    fake.override = (request, response) => this.answer(request, response);
  }

  static async start(...images: string[]): Promise<StandinEngine> {
    const engine = new StandinEngine(await FakeEngine.start());
    for (const image of images) engine.images.add(image);
    return engine;
  }

  async stop(): Promise<void> {
    for (const id of this.children.keys()) await this.kill(id);
    await this.fake.stop();
  }

  /** `[id, name]` of what runs. */
  running(): [id: string, name: string][] {
    return [...this.fake.containers.values()]
      .filter(({ running }) => running)
      .map(({ id, name }) => [id, name]);
  }

  /** Requests that ask for a change. */
  changes(): string[] {
    return this.fake.requests.filter((request) => !request.startsWith('GET '));
  }

  /** A container's process is killed, behind the Engine's back; it tells who listens. */
  async kill(id: string): Promise<void> {
    const child = this.children.get(id);
    if (!child) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** A container hits its memory limit: the kernel has ended a process of it, by this not the main one. */
  runOutOfMemory(id: string): void {
    const Attributes = { ...this.fake.containers.get(id)?.labels, name: this.fake.containers.get(id)?.name };
    this.fake.send(
      `${JSON.stringify({ Type: 'container', Action: 'oom', Actor: { ID: id, Attributes } })}\n`,
    );
  }

  private answer(request: IncomingMessage, response: ServerResponse): boolean {
    const url = new URL(request.url ?? '/', 'http://engine');
    const [, kind = '', name = '', verb = ''] = url.pathname.split('/');
    if (kind === 'images') {
      const image = decodeURIComponent(url.pathname.slice('/images/'.length, -'/json'.length));
      if (this.images.has(image)) json(response, 200, {});
      else json(response, 404, { message: `No such image: ${image}` });
      return true;
    }
    if (kind !== 'containers' || verb === 'exec' || (request.method === 'GET' && verb !== 'logs'))
      return false;
    void this.act(request, name, verb, url.searchParams)
      .catch((error: unknown): [number, unknown] => [500, { message: String(error) }])
      .then(([status, body]) => {
        if (typeof body === 'string') response.writeHead(status).end(body);
        else if (body === undefined) response.writeHead(status).end();
        else json(response, status, body);
      });
    return true;
  }

  private async act(
    request: IncomingMessage,
    name: string,
    verb: string,
    query: URLSearchParams,
  ): Promise<[number, unknown?]> {
    if (name === 'create') {
      const id = this.create(query.get('name') ?? '', JSON.parse(await text(request)) as CreateBody);
      return [201, { Id: id }];
    }
    if (!this.fake.containers.has(name)) return [404, { message: `No such container: ${name}` }];
    if (verb === 'logs') return [200, this.created.get(name)?.output.join('') ?? ''];
    if (verb === 'start') return this.launch(name);
    await this.kill(name); // stop, kill, and removal by force
    if (request.method === 'DELETE') this.fake.containers.delete(name);
    return [204];
  }

  private create(name: string, body: CreateBody): string {
    const id = randomBytes(32).toString('hex');
    const repository = body.HostConfig.Mounts.find(
      ({ Target }) => Target === REPOSITORY_IN_CONTAINER,
    )?.Source;
    const args = body.Cmd.slice(1).map((arg) =>
      arg.replace(`=${REPOSITORY_IN_CONTAINER}`, `=${repository ?? ''}`),
    );
    const { Memory: memoryLimit = 0 } = body.HostConfig;
    const container = { id, name, labels: body.Labels, running: false, exitCode: 0, memoryLimit };
    this.created.set(id, { container, args, output: [] });
    this.fake.put(container);
    return id;
  }

  private async launch(id: string): Promise<[number, unknown?]> {
    const words = this.refuseStart?.();
    if (words !== undefined) return [500, { message: words }];
    const created = this.created.get(id);
    if (!created) return [404, { message: `No such container: ${id}` }];
    const child = spawn(process.execPath, [STANDIN, ...created.args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => created.output.push(text));
    this.children.set(id, child);
    child.once('exit', (code) => {
      this.children.delete(id);
      if (this.fake.containers.has(id)) this.fake.end(id, code ?? 137, true);
    });
    await once(child, 'spawn');
    created.container.running = true;
    if (child.pid !== undefined) created.container.pid = child.pid;
    return [204];
  }
}
