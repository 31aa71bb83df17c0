import { Logger } from '@nestjs/common';
import type { ContainerInspectInfo } from 'dockerode';
import * as z from 'zod';
import { messageOf } from '../../common/errors.js';
import type { ExitListeners } from '../exit-listeners.js';
import { OWNER_LABEL, type ServerExit, type ServerInfo } from '../launcher.js';
import { pause } from '../../common/pause.js';
import { type Containers, reasonOf, serverInfoOf } from './containers.js';
import type { Engine } from './engine.js';
import { jsonLines } from './json-lines.js';
import { MemoryLimits } from './memory-limits.js';

const containerEvent = z.object({
  Action: z.enum(['die', 'oom']),
  Actor: z.object({ ID: z.string(), Attributes: z.record(z.string(), z.string()) }),
});

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 15_000;
/** Ids whose exit was reported, kept against reporting one twice. */
const REMEMBERED = 1000;

/**
 * Reports the exits of our containers: from the Engine's events while connected, and by comparing with what ran before
 * whenever the connection is (again) there, so that none is missed while it was not. An id is reported once: our
 * containers are never started a second time.
 */
export class ExitStream {
  private readonly logger = new Logger('DockerLauncher');
  private readonly closing = new AbortController();
  /** Ids and names of what is known to run. */
  private readonly running = new Map<string, string>();
  private readonly reported = new Set<string>();
  readonly memory = new MemoryLimits();
  private loop: Promise<void> | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly containers: Containers,
    private readonly owner: string,
    private readonly listeners: ExitListeners,
  ) {}

  /** Connects, and goes on reconnecting until `close`. */
  open(): void {
    this.loop ??= this.run();
  }

  /** Ends when the connection is closed. */
  async close(): Promise<void> {
    this.closing.abort();
    await this.loop;
  }

  /** What the Engine says of a container, and what its events have said of it; its exit is not missed from then on. */
  told(container: ContainerInspectInfo): ServerInfo {
    this.memory.saw(container.Id, container.HostConfig.Memory ?? 0);
    const info = serverInfoOf(container);
    this.seen(info);
    const oom = info.running ? undefined : this.memory.wordsOf(info.id);
    return oom === undefined ? info : { ...info, reason: oom };
  }

  private seen(info: ServerInfo): void {
    if (info.running) {
      if (!this.reported.has(info.id)) this.running.set(info.id, info.name);
    } else if (this.running.has(info.id)) {
      this.report(info);
    }
  }

  private async run(): Promise<void> {
    const { signal } = this.closing;
    let delay = FIRST_DELAY_MS;
    const tell = (what: string): void => {
      // The first of a row of failures; a host without Docker would fill its log with the others.
      if (delay === FIRST_DELAY_MS) this.logger.warn(`${what}; trying to connect again until it works`);
    };
    for (;;) {
      try {
        await this.follow(signal, () => {
          delay = FIRST_DELAY_MS;
        });
        tell('The Docker Engine ended its event stream');
      } catch (error) {
        if (signal.aborted) return;
        tell(`No events from the Docker Engine: ${messageOf(error)}`);
      }
      try {
        await pause(delay, signal);
      } catch {
        // Closed.
        return;
      }
      delay = Math.min(delay * 2, LONGEST_DELAY_MS);
    }
  }

  private async follow(signal: AbortSignal, onConnected: () => void): Promise<void> {
    // Outlives the call that opens the stream, whose own signal ends with it.
    const connection = new AbortController();
    const disconnect = (): void => {
      connection.abort();
    };
    signal.addEventListener('abort', disconnect, { once: true });
    try {
      const stream = await this.engine.call(signal, (docker) =>
        docker.getEvents({ filters: this.filters(), abortSignal: connection.signal }),
      );
      // Compared after the stream is there, so that no exit falls between the two.
      await Promise.all([this.compare(signal).then(onConnected), this.read(stream)]);
    } finally {
      signal.removeEventListener('abort', disconnect);
      disconnect();
    }
  }

  private filters(): { type: ['container']; event: string[]; label: string[] } {
    return { type: ['container'], event: ['die', 'oom'], label: [`${OWNER_LABEL}=${this.owner}`] };
  }

  private async read(stream: NodeJS.ReadableStream): Promise<void> {
    for await (const line of jsonLines(stream)) {
      const event = containerEvent.safeParse(line);
      if (!event.success) continue;
      const { ID: id, Attributes: attributes } = event.data.Actor;
      if (event.data.Action === 'oom') {
        this.outOfMemory(id, attributes.name ?? this.running.get(id) ?? id);
        continue;
      }
      const code = Number.parseInt(attributes.exitCode ?? '', 10);
      const exitCode = Number.isNaN(code) ? null : code;
      const reason = reasonOf({ oom: this.memory.wordsOf(id), exitCode });
      const name = attributes.name ?? this.running.get(id) ?? id;
      this.report({ id, name, exitCode, ...(reason !== undefined && { reason }) });
    }
  }

  /** The container may go on: what of it was ended, the Engine does not say. */
  private outOfMemory(id: string, name: string): void {
    this.memory.hit(id);
    this.logger.warn(`${name} is ${this.memory.wordsOf(id) ?? ''}; the kernel has ended a process of it`);
  }

  private async compare(signal: AbortSignal): Promise<void> {
    const before = new Map(this.running);
    const found = await this.containers.list({}, signal);
    const now = found.map((container) => this.told(container));
    const there = new Set(now.map((info) => info.id));
    for (const [id, name] of before) {
      if (!there.has(id)) this.report({ id, name, exitCode: null });
    }
  }

  private report({ id, name, exitCode, reason }: ServerExit): void {
    this.running.delete(id);
    if (this.reported.has(id)) return;
    this.reported.add(id);
    const [oldest] = this.reported;
    if (this.reported.size > REMEMBERED && oldest !== undefined) this.reported.delete(oldest);
    this.listeners.emit({ id, name, exitCode, ...(reason !== undefined && { reason }) });
  }
}
