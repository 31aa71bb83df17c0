import { SharedWork } from '../common/shared-work.js';
import type { ServerInfo } from '../launchers/launcher.js';
import type { FormerServer, FormerServers, Place } from './former-servers.js';

/**
 * Where one server is: where the configuration puts it (its home), or where an earlier one has put it. Such a server is
 * taken over as it is, under its old name and with its old launcher, until it has ended.
 */
export class Whereabouts {
  private current: Place;
  private isKnown: boolean;
  private readonly looks = new SharedWork<Place>();

  constructor(
    readonly home: Place,
    /** Whether it is this server that was launched with these labels. */
    readonly isIt: (labels: ServerInfo['labels']) => boolean,
    /** Left out: it is nowhere but at home. */
    private readonly formers?: FormerServers,
    /** `false`: the configuration has it no more, and it is never launched again. */
    private readonly hasHome = true,
  ) {
    this.current = home;
    this.isKnown = formers === undefined;
  }

  /** Where it runs or last ran; its home until it was looked for. */
  get place(): Place {
    return this.current;
  }

  isAt(name: string, launcher: Place['launcher']['kind']): boolean {
    return this.current.name === name && this.current.launcher.kind === launcher;
  }

  /** Looks for it, once. @throws EngineUnavailableError, DeadlineError */
  async find(signal: AbortSignal): Promise<Place> {
    const { formers } = this;
    if (this.isKnown || !formers) return this.current;
    return this.looks.run(this.home.name, signal, (limit) => this.look(formers, limit));
  }

  private async look(formers: FormerServers, signal: AbortSignal): Promise<Place> {
    const [home] = await Promise.allSettled([this.hasHome ? this.inspectHome(signal) : undefined]);
    signal.throwIfAborted();
    const atHome = home.status === 'fulfilled' ? home.value : undefined;
    const isElsewhere = (server: FormerServer): boolean => this.isElsewhere(server);
    const former = atHome?.running
      ? undefined
      : await formers.find(isElsewhere, this.home.launcher.kind, signal);
    const runsElsewhere = former?.info.running === true;
    if (home.status === 'rejected' && !runsElsewhere) throw home.reason;
    return this.settle(formers, runsElsewhere || !atHome ? former : undefined);
  }

  /** It does not run: what is left of it elsewhere goes, and the next launch is at home. @throws StopFailedError */
  async moveHome(signal: AbortSignal): Promise<void> {
    const { name, launcher } = await this.find(signal);
    if (this.current === this.home) return;
    await launcher.stop(name, 0, signal);
    this.current = this.home;
  }

  /** Somebody who asked at the same time may have settled it, and launched the server at home since. */
  private settle(formers: FormerServers, former: FormerServer | undefined): Place {
    if (!this.isKnown && former) this.current = formers.takeOver(former);
    this.isKnown = true;
    return this.current;
  }

  private async inspectHome(signal: AbortSignal): Promise<ServerInfo | undefined> {
    const info = await this.home.launcher.inspect(this.home.name, signal);
    return info && this.isIt(info.labels) ? info : undefined;
  }

  private isElsewhere({ name, launcher, info }: FormerServer): boolean {
    const isHome = name === this.home.name && launcher.kind === this.home.launcher.kind;
    return this.isIt(info.labels) && !(this.hasHome && isHome);
  }
}
