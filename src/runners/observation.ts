import type { Aspect } from './aspects.js';

/**
 * What a backend says of a placement.
 *
 * | phase | meaning |
 * |---|---|
 * | `ready` | the backend itself says that the model serves on this GPU, as the options want it |
 * | `starting` | the backend is at it: wait |
 * | `absent` | it does not serve here and nothing is under way; `reason` says why where known |
 * | `silent` | its server is there as far as anybody knows, and does not answer |
 * | `unknown` | nobody can tell: what runs servers cannot, and the backend neither; or it answers, and makes no sense |
 */
export type PlacementPhase = 'ready' | 'starting' | 'absent' | 'silent' | 'unknown';

export interface PlacementObservation {
  readonly gpuId: number;
  readonly phase: PlacementPhase;
  readonly reason?: string;
  /** Host pid of the server's main process, while there is one. */
  readonly pid: number | null;
  /** HTTP port of the server. */
  readonly port: number | null;
  /** Of a server with several ports: all of them by name, `port` among them. */
  readonly ports?: ReadonlyMap<string, number>;
  /** Container or process name of the server. */
  readonly serverName: string | null;
  /** Of what is `ready`: the backend says whether it sleeps; left out where it does not say. */
  readonly sleeping?: boolean;
  /** Of what is `absent` because its server has ended: the server's last lines, perhaps none; left out where none has. */
  readonly lastLines?: readonly string[];
  /** UUIDs of the GPUs that its server was launched for, by the server's labels; left out where these do not tell. */
  readonly gpuUuids?: readonly (string | null)[];
  /** In what the running server is not what the configuration would launch now; left out: in nothing, or nobody can tell. */
  readonly outdated?: readonly Aspect[];
}

/** What a backend says of its work on a model's requests. */
export interface Workload {
  /** Requests that wait or are worked on, as far as the backend counts them. */
  readonly open: number;
  /** Grows with every request that is done: tells a backend at work where it does not count what it works on. */
  readonly finished: number;
  /** Why requests may be open that `open` leaves out, as part of a sentence; left out where it counts all it can. */
  readonly uncounted?: string;
}
