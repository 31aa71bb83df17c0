/**
 * What a backend's own counters say of the requests of one unit. All but `open` only grow; they begin anew with the server,
 * or with the load of its model.
 */
export interface ProgressReading {
  /** Requests that wait or are worked on, as far as the backend counts them. */
  readonly open: number;
  /** Changes with every piece of work that is done, however it ended: a token, a request. */
  readonly done: number | string;
  /** Requests that were answered well. */
  readonly succeeded: number;
  /** Requests that failed in the backend: none that the client is to blame for, and none that was only turned away. */
  readonly failed: number;
  /** The run of the server that counts so (`ServerInfo.id`), where several models share one. */
  readonly run?: string;
  /** What else is known that may be the cause, in words. */
  readonly note?: string | undefined;
}

/**
 * `failing`: requests fail and none succeeds. `stalled`: requests are open, and nothing gets done. `blind`: its server reaches
 * its GPUs no more, so that the server itself is to be ended.
 */
export type TroubleKind = 'failing' | 'stalled' | 'blind';

/** What speaks against a unit that serves by its backend's word. */
export interface Trouble {
  readonly kind: TroubleKind;
  readonly words: string;
  /** The run of the server that shows it (`ServerInfo.id`), where several models share one: no other is to be ended for it. */
  readonly run?: string | undefined;
}

/** What was ended of that which does not get on; `nothing`: the run of its server is over already. */
export type EndedPart = 'model' | 'server' | 'nothing';

/** What the configuration says of one model's requests; what is left out is as `liveness` has it. */
export interface ModelLiveness {
  /** Time, seconds, within which a model that is asked gets something done; 0: nobody looks. */
  readonly progressSeconds?: number | undefined;
  /** Longest time, seconds, that one request may take, of a backend that shows nothing of it until it is done. */
  readonly deadlineSeconds?: number | undefined;
  /** A request may take any time unless `deadlineSeconds` says otherwise: what is stalled is only told. */
  readonly isPatient?: boolean;
}

/** `unclear`: the backend answered without having worked. */
export type CanaryAnswer = 'succeeded' | 'failed' | 'unclear';

/** A request of this service's own that is as small as can be; its signal ends it. */
export type Canary = (signal: AbortSignal) => Promise<CanaryAnswer>;
