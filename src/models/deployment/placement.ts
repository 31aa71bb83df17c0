import type { Aspect } from '../../runners/aspects.js';
import type { PlacementError } from '../../state/desired-state.js';
import { type HeldGpu, HeldGpus } from './held-gpus.js';
import { PlacementHistory } from './placement-history.js';
import {
  isLeaving,
  nextStatus,
  type PlacementEvent,
  type PlacementState,
  type PlacementStatus,
  statusOf,
} from './placement-state.js';
import type { DrainOutcome, ReleasedMemory } from './stop-outcome.js';

/** The server of a placement, as the backend has it. */
export interface ServerFacts {
  readonly pid: number | null;
  readonly port: number | null;
  /** Of a server with several ports: all of them by name. */
  readonly ports?: ReadonlyMap<string, number> | undefined;
  readonly serverName: string | null;
  /** In what it is not what the configuration would launch now. */
  readonly outdated?: readonly Aspect[];
}

const NO_SERVER: ServerFacts = { pid: null, port: null, serverName: null };

/** One model on its GPU, in memory, with what more GPUs its server needs. */
export class Placement {
  private current: PlacementState = { kind: 'stopped', memory: null };
  private server: ServerFacts = NO_SERVER;
  private words: string | undefined;
  private lastPid: number | null = null;
  private memory: ReleasedMemory | null = null;
  readonly held: HeldGpus;
  readonly history: PlacementHistory;
  private drainEnd: DrainOutcome | undefined;
  updatedAt: Date;

  /**
   * @param gpuId its number for life (`DeploymentState.numberFor`): its unit, its server and its entry on disk go by it
   * @param gpus all that it holds, that GPU first
   */
  constructor(
    readonly gpuId: number,
    gpus: readonly HeldGpu[],
    readonly createdAt: Date,
  ) {
    this.held = new HeldGpus(gpus);
    this.updatedAt = createdAt;
    this.history = new PlacementHistory(createdAt);
  }

  /** All that it holds, the one it was started on first. */
  get gpus(): readonly HeldGpu[] {
    return this.held.all;
  }

  /** NVML indices of all that it holds, as last seen. */
  get gpuIds(): readonly number[] {
    return this.gpus.map(({ id }) => id);
  }

  /** NVML index of the GPU it was started on, as last seen: what people know it by. */
  get index(): number {
    return this.gpus[0]?.id ?? this.gpuId;
  }

  get state(): PlacementState {
    return this.current;
  }

  get status(): PlacementStatus {
    return statusOf(this.current);
  }

  get error(): PlacementError | undefined {
    return 'error' in this.current ? this.current.error : undefined;
  }

  /** It serves or starts by its status; while it is stopped, too. */
  get isActive(): boolean {
    return this.status === 'STARTING' || this.status === 'RUNNING';
  }

  /** RUNNING, and the backend says that it sleeps. */
  get sleeping(): boolean {
    return 'sleeping' in this.current && this.current.sleeping;
  }

  /** RUNNING, and what speaks against it: its requests fail, or do not get on. */
  get degraded(): string | undefined {
    return this.current.kind === 'running' && !this.current.sleeping ? this.current.degraded : undefined;
  }

  /** A stop was accepted, and the backend may work off its requests first. */
  get isDraining(): boolean {
    return this.current.kind === 'draining';
  }

  /** The backend has let go; its memory is still to be looked after. */
  get hasLetGo(): boolean {
    return this.current.kind === 'proving';
  }

  /** ERROR, and the backend has not let go of what is left of it. */
  get isUnclean(): boolean {
    return this.current.kind === 'failed' && this.current.isUnclean;
  }

  /** What its stop did to the memory of its GPUs; `null`: unknown. */
  get releasedMemory(): ReleasedMemory | null {
    return this.current.kind === 'stopped' ? this.current.memory : null;
  }

  /** `undefined` while it drains, and where no drain was asked for. */
  get drainOutcome(): DrainOutcome | undefined {
    return this.drainEnd;
  }

  /** How far a start, a drain or a stop is, in words. */
  get progress(): string | undefined {
    if (this.words !== undefined) return this.words;
    return isLeaving(this.current) && this.status !== 'ERROR' ? 'stopping' : undefined;
  }

  /** Main process of its server; `null` while it has none, and once the backend has let go. */
  get pid(): number | null {
    return this.server.pid;
  }

  get port(): number | null {
    return this.server.port;
  }

  /** All ports of its server by name, where that has several. */
  get ports(): ReadonlyMap<string, number> | undefined {
    return this.server.ports;
  }

  get serverName(): string | null {
    return this.server.serverName;
  }

  /** In what its server is not what the configuration would launch now. */
  get outdated(): readonly Aspect[] {
    return this.server.outdated ?? [];
  }

  /** Main process of its server, or of the server that is to be cleaned up. */
  get formerPid(): number | null {
    return this.server.pid ?? this.lastPid;
  }

  holds(gpuId: number): boolean {
    return this.gpuIds.includes(gpuId);
  }

  holdsAnyOf(gpuIds: readonly number[]): boolean {
    return gpuIds.some((gpuId) => this.holds(gpuId));
  }

  tell(progress: string | undefined): void {
    this.words = progress;
  }

  /** Where it is served, by the backend's word; `null` leaves what was known. */
  servedBy({ pid, port, ports, serverName, outdated = [] }: ServerFacts): void {
    const listening = port === null ? this.server : { port, ports };
    this.server = { pid, port: listening.port, ports: listening.ports, serverName, outdated };
  }

  /** The runner's start has succeeded for it. */
  wasStarted(isStarted = true): void {
    if (this.current.kind === 'starting') this.current = { kind: 'starting', isStarted };
  }

  sleeps(sleeping: boolean): void {
    if (this.current.kind === 'running') this.current = { ...this.current, sleeping };
  }

  degrade(degraded: string | undefined): void {
    if (this.current.kind === 'running') this.current = { ...this.current, degraded };
  }

  /** A stop was accepted. */
  leave(): void {
    const { status, error, sleeping } = this;
    if (status === 'STOPPED') throw new Error('what is stopped cannot leave');
    this.words = undefined;
    this.current = { kind: 'stopping', status, error, sleeping };
  }

  /** Its requests are worked off before the stop, or no more. */
  drain(isDraining: boolean): void {
    const { current } = this;
    if (current.kind !== (isDraining ? 'stopping' : 'draining')) return;
    this.words = undefined;
    this.current = { ...current, kind: isDraining ? 'draining' : 'stopping' };
  }

  /** Its drain has ended so, or could not take place. */
  drainedAs(outcome: DrainOutcome): void {
    this.drainEnd = outcome;
  }

  /** The backend has let go of it: it has no server any more. */
  letGo(): void {
    if (this.current.kind !== 'stopping') return;
    this.current = { ...this.current, kind: 'proving' };
    this.forgetServer();
  }

  /** The backend has let go of what was left after an ERROR, or is yet to. */
  cleanUp(isUnclean: boolean): void {
    if (this.current.kind === 'failed') this.current = { ...this.current, isUnclean };
  }

  /** Its stop has done this to the memory of its GPUs. */
  gaveBack(memory: ReleasedMemory | null): void {
    this.memory = memory;
  }

  /** A transition of the table. Returns the status before. @throws IllegalTransitionError */
  apply(event: PlacementEvent, at: Date, error?: PlacementError): PlacementStatus {
    const from = this.status;
    const to = nextStatus(from, event);
    this.current = this.next(to, error && { ...error, at: error.at ?? at.toISOString() });
    this.updatedAt = at;
    this.history.applied(event, from, to, at);
    if (to !== 'STARTING') this.words = undefined;
    if (to === 'ERROR' || to === 'STOPPED') this.forgetServer();
    return from;
  }

  /** A stop that fails goes on as a stop: it is tried again. */
  private next(to: PlacementStatus, error: PlacementError | undefined): PlacementState {
    switch (to) {
      case 'STARTING':
        return { kind: 'starting', isStarted: false };
      case 'RUNNING':
        return { kind: 'running', sleeping: false };
      case 'ERROR':
        return isLeaving(this.current)
          ? { kind: this.current.kind, status: 'ERROR', error, sleeping: false }
          : { kind: 'failed', error, isUnclean: false };
      case 'STOPPED':
        return { kind: 'stopped', memory: this.memory };
      default:
        return to satisfies never;
    }
  }

  private forgetServer(): void {
    this.lastPid = this.formerPid;
    this.server = NO_SERVER;
  }
}
