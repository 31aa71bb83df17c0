/**
 * A server of this service that no needed placement needs, or a model that nobody needs in a server that others do.
 */
export interface Unneeded {
  readonly serverName: string;
  /** Identity of this run of the server, never reused: container id, or pid with start time. */
  readonly serverId: string;
  readonly launcher: 'docker' | 'process';
  /** Host pid of the server's main process while it runs. */
  readonly pid: number | null;
  readonly running: boolean;
  /** Just this model: its server stays. `undefined`: the whole server. */
  readonly model?: string;
  /** What is loaded there; `null`: the server does not tell. */
  readonly models: readonly string[] | null;
}

/** A model that is needed, on these GPUs: a server of one placement is by its GPU, a shared one by any. */
export interface Needed {
  readonly modelName: string;
  readonly gpuIds: readonly number[];
}

/** `polite`: requests in flight are finished, within the server's own time for that. `force`: at once. */
export type RemovalManner = 'polite' | 'force';
