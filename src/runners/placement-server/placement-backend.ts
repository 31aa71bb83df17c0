import type { ServerInfo, StopSignal } from '../../launchers/launcher.js';
import type { DeploymentOptions, GpuRef } from '../deployment.js';
import type { LaunchSettings } from '../launched-as.js';
import type { BeforeStop, ProbeResult, ServedPlacement, ServerProgram } from './served-placement.js';

/** What a server needs of its backend. */
export interface PlacementBackend {
  readonly backend: string;
  readonly stopSignal: StopSignal;
  readonly withheld: readonly string[];
  program(placement: ServedPlacement): ServerProgram;
  probe(placement: ServedPlacement, signal: AbortSignal): Promise<ProbeResult>;
  beforeStop(placement: ServedPlacement, context: BeforeStop): Promise<void>;
  graceSecondsNow(placement: ServedPlacement, signal: AbortSignal): Promise<number | undefined>;
  readonly linesToExplain: number;
  explainExit(lastLines: readonly string[]): string | undefined;
  isFinalExit(cause: string): boolean;
  deviceOf(modelName: string): 'gpu' | 'cpu';
  settingsOf(modelName: string): LaunchSettings;
  portNamesOf(modelName: string): readonly string[];
  startTimeoutSecondsOf(modelName: string): number;
  stopGraceSecondsOf(modelName: string): number;
  readOptions(modelName: string, options: DeploymentOptions): DeploymentOptions;
}

/** Which placement a server is for. */
export interface PlacementRole {
  readonly name: string;
  readonly modelName: string;
  /** Number of the placement. */
  readonly gpuId: number;
}

/** What a launch has to know beyond the role. */
export interface Wanted {
  readonly options: DeploymentOptions;
  /** All GPUs of the placement; a UUID that is not known is `null`. */
  readonly gpus: readonly GpuRef[];
}

/** A server that runs, as it was found. */
export interface RunningServer {
  readonly info: ServerInfo;
  readonly placement: ServedPlacement;
}
