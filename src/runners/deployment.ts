/** A GPU by its NVML index, and by the UUID it is pinned with. */
export interface GpuRef {
  readonly id: number;
  readonly uuid: string | null;
  /** Product name, where known. */
  readonly name?: string | null;
  /** Where known. */
  readonly memoryTotalMiB?: number | null;
}

/** Whether a GPU or a model takes others beside it. */
export type GpuPolicy = 'shared' | 'exclusive';

/** What a placement asks of its GPU. */
export interface GpuNeeds {
  /** MiB at its peak, by the configuration; `null` where that does not say. */
  readonly memoryMiB: number | null;
  readonly policy: GpuPolicy;
  /** It runs on no GPU: that of its placement is a name, and nobody's room is taken there. */
  readonly offGpu?: boolean;
}

/** What a deployment was started with, valid under its runner's `optionsSchema`, defaults filled in. */
export type DeploymentOptions = Readonly<Record<string, unknown>>;

/**
 * What is wanted of one model: on all its GPUs, or on those of one unit. A placement goes by a number, from its start on:
 * the NVML index that its GPU had then. Servers and instance groups are named by it; where the GPU is now, its UUID tells.
 */
export interface Deployment {
  readonly modelName: string;
  /** Numbers of the placements, ascending. */
  readonly gpuIds: readonly number[];
  /** Number of a placement → all GPUs it holds, as they were last seen. Left out: its number is the index of its one GPU. */
  readonly gpus?: ReadonlyMap<number, readonly GpuRef[]>;
  readonly options: DeploymentOptions;
}

/** What serves, for a service that does not know any more what was wanted. */
export interface Adoptable {
  /** Of a server, all or nothing. */
  readonly deployments: readonly Deployment[];
  /** Why there may be more; left out: there is not. */
  readonly unclear?: string;
}
