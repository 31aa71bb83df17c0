import { orAborted, within } from '../common/deadline.js';
import { BACKEND_LABEL, type Launcher, type ServerInfo } from '../launchers/launcher.js';
import type { RunnerHost } from './runner-host.js';

/** Where a server is: its name, and the launcher that knows it. */
export interface Place {
  readonly name: string;
  readonly launcher: Launcher;
}

/** A server as it was when this service first looked. */
export interface FormerServer extends Place {
  readonly info: ServerInfo;
}

/** Time, ms, of a launcher to say which servers there are. */
const LOOK_TIMEOUT_MS = 3000;
/** Time, ms, that a command waits for the launcher that the configuration does not use. */
const ELSEWHERE_TIMEOUT_MS = 1500;
const LAUNCHERS: readonly Launcher['kind'][] = ['process', 'docker'];

/**
 * The servers of one backend that earlier runs of this service have left, whatever the configuration called them then
 * and however it ran them. Each launcher is looked at once: what this run launches has the names of its configuration.
 */
export class FormerServers {
  private readonly looks = new Map<Launcher['kind'], Promise<readonly FormerServer[]>>();
  /** Launchers that did not answer: where the configuration does not use them, they have nothing for this run. */
  private readonly failed = new Set<Launcher['kind']>();
  private readonly takenFrom = new Set<Launcher>();
  private readonly listeners = new Set<(launcher: Launcher) => void>();

  constructor(
    private readonly backend: string,
    private readonly launchers: RunnerHost['launchers'],
  ) {}

  /** Launchers of servers that were taken over. */
  get launchersInUse(): readonly Launcher[] {
    return [...this.takenFrom];
  }

  /** Looks at all launchers, so that who asks later need not wait. */
  begin(): void {
    const { signal } = new AbortController();
    for (const kind of LAUNCHERS) this.look(kind, signal).catch(() => undefined);
  }

  /** Launchers that have some of them, whether or not the configuration uses these; one that does not answer has none. */
  async launchersOfThem(signal: AbortSignal): Promise<readonly Launcher[]> {
    const looks = await Promise.all(LAUNCHERS.map((kind) => this.lookElsewhere(kind, signal)));
    return [...new Set(looks.flat().map(({ launcher }) => launcher))];
  }

  /** Calls `listener` at every exit that these launchers see, or one that a server is taken over from, now or later. */
  onExit(
    launchers: readonly Launcher[],
    listener: (name: string, kind: Launcher['kind']) => void,
  ): () => void {
    const ends = new Map<Launcher, () => void>();
    const listenTo = (launcher: Launcher): void => {
      if (ends.has(launcher)) return;
      const end = launcher.onExit(({ name }) => {
        listener(name, launcher.kind);
      });
      ends.set(launcher, end);
    };
    for (const launcher of [...launchers, ...this.takenFrom]) listenTo(launcher);
    this.listeners.add(listenTo);
    return () => {
      this.listeners.delete(listenTo);
      for (const end of ends.values()) end();
    };
  }

  /**
   * The server that `isIt` is true of: one that runs before one that is dead, a younger one before an older.
   * @param kind the launcher of the configuration; the other may be none of this host's
   * @throws EngineUnavailableError, DeadlineError: that launcher does not answer, and none is found to run elsewhere
   */
  async find(
    isIt: (server: FormerServer) => boolean,
    kind: Launcher['kind'],
    signal: AbortSignal,
  ): Promise<FormerServer | undefined> {
    const looks = await Promise.allSettled(
      LAUNCHERS.map((each) => (each === kind ? this.look(each, signal) : this.lookElsewhere(each, signal))),
    );
    signal.throwIfAborted();
    const [best] = looks
      .flatMap((look) => (look.status === 'fulfilled' ? look.value : []))
      .filter(isIt)
      .sort((a, b) => Number(b.info.running) - Number(a.info.running) || startOf(b) - startOf(a));
    const failure = looks.find((look) => look.status === 'rejected');
    if (failure && best?.info.running !== true) throw failure.reason;
    return best;
  }

  /** The server is this run's from now on: its launcher is in use. */
  takeOver({ name, launcher: { kind } }: FormerServer): Place {
    const launcher = this.launchers.get(kind);
    if (!this.takenFrom.has(launcher)) {
      this.takenFrom.add(launcher);
      for (const listener of this.listeners) listener(launcher);
    }
    return { name, launcher };
  }

  private async lookElsewhere(kind: Launcher['kind'], signal: AbortSignal): Promise<readonly FormerServer[]> {
    if (this.failed.has(kind)) return [];
    try {
      return await within({ ms: ELSEWHERE_TIMEOUT_MS, signal }, (limit) => this.look(kind, limit));
    } catch {
      signal.throwIfAborted();
      return [];
    }
  }

  /** All who ask at once share one look, which no one of them ends; one that failed is not remembered. */
  private look(kind: Launcher['kind'], signal: AbortSignal): Promise<readonly FormerServer[]> {
    let look = this.looks.get(kind);
    if (!look) {
      look = within({ ms: LOOK_TIMEOUT_MS }, (limit) => this.list(kind, limit));
      this.looks.set(kind, look);
      look.catch(() => {
        this.looks.delete(kind);
        this.failed.add(kind);
      });
    }
    return orAborted(look, signal);
  }

  private async list(kind: Launcher['kind'], signal: AbortSignal): Promise<FormerServer[]> {
    const launcher = this.launchers.peek(kind);
    const infos = await launcher.list({ [BACKEND_LABEL]: this.backend }, signal);
    return infos.map((info) => ({ name: info.name, launcher, info }));
  }
}

/** Ms since the epoch. */
function startOf({ info: { startedAt } }: FormerServer): number {
  return startedAt?.getTime() ?? 0;
}
