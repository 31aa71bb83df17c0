/** How much each suite measures. Every number that makes a run longer or shorter is here. */
export interface Rounds {
  /** Rounds of eight starts, status reads for `readMs`, eight stops; each load takes `loadSeconds`. */
  readonly starts: { readonly rounds: number; readonly loadSeconds: number; readonly readMs: number };
  /** How long Triton stays frozen. */
  readonly frozen: { readonly ms: number };
  /** Loads of one model. */
  readonly readiness: { readonly rounds: number };
  /** Commands that are sent at once. */
  readonly storm: { readonly commands: number };
  /** Starts and stops of a model in a container. */
  readonly engine: { readonly rounds: number };
  /** Rounds of reads of each path, `seconds` long. */
  readonly reads: { readonly rounds: number; readonly seconds: number };
  /** Boots of each program, after `warmUps` boots that do not count. */
  readonly boot: { readonly warmUps: number; readonly runs: number };
}

/** Enough samples for figures that can be compared. */
export const FULL: Rounds = {
  starts: { rounds: 10, loadSeconds: 3, readMs: 500 },
  frozen: { ms: 10_000 },
  readiness: { rounds: 20 },
  storm: { commands: 50 },
  engine: { rounds: 10 },
  reads: { rounds: 5, seconds: 3 },
  boot: { warmUps: 1, runs: 10 },
};

/** Each suite once, to see that it works: its times say nothing. */
export const SMOKE: Rounds = {
  starts: { rounds: 1, loadSeconds: 0.2, readMs: 100 },
  frozen: { ms: 200 },
  readiness: { rounds: 1 },
  storm: { commands: 20 },
  engine: { rounds: 1 },
  reads: { rounds: 1, seconds: 1 },
  boot: { warmUps: 0, runs: 1 },
};
