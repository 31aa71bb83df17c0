import type { GpuSample } from '../gpu-provider.js';

/** Why the NVML process has no readings to give; all but `read_failed` end its usefulness. */
export interface NvmlFailure {
  readonly reason: 'library_not_loaded' | 'init_failed' | 'uninitialized' | 'read_failed';
  /** NVIDIA's, or the dynamic linker's, own words. */
  readonly text: string;
  /** `nvmlReturn_t`, where one was returned. */
  readonly nvmlCode?: number;
}

/** An Xid error of the GPU at an index. */
export interface GpuXid {
  readonly id: number;
  readonly xid: number;
}

/** From the NVML process; `ready` or `failed` comes first, unasked. */
export type NvmlReply =
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly failure: NvmlFailure }
  | {
      readonly type: 'sample';
      readonly samples: readonly GpuSample[];
      readonly lost: boolean;
      /** Xid errors since the sample before. */
      readonly xids?: readonly GpuXid[];
      /** What cannot be watched, in a sentence; told once. */
      readonly note?: string;
    };

/** To the NVML process: read all GPUs once. It answers requests in their order, one at a time. */
export interface NvmlRequest {
  readonly type: 'sample';
}
