import { join } from 'node:path';
import { z } from 'zod';
import { callHttp } from '../../src/common/http/http-client.js';
import type { PlacementServerConfig } from '../../src/runners/placement-server/placement-server-section.js';
import { PlacementServerRunner } from '../../src/runners/placement-server/placement-server-runner.js';
import type {
  BeforeStop,
  ProbeResult,
  ServedPlacement,
  ServerProgram,
} from '../../src/runners/placement-server/served-placement.js';
import { GpuNotUsableError } from '../../src/runners/errors.js';
import type { Workload } from '../../src/runners/observation.js';

const SERVER = join(process.cwd(), 'test/fakes/tiny-server.mjs');

export interface TinyOptions {
  readonly [key: string]: unknown;
  readonly size: number;
}

/** A backend with one server per placement; each model behaves as its name says. */
export class TinyRunner extends PlacementServerRunner<PlacementServerConfig, TinyOptions> {
  readonly backend = 'tiny';
  readonly optionsSchema = z.strictObject({ size: z.int().min(1) });
  journal: string | undefined;
  /** Extra GPUs that a placement holds. */
  spread = 1;

  defaultOptions(): TinyOptions {
    return { size: 1 };
  }

  override gpusOf(gpuId: number): readonly number[] {
    return Array.from({ length: this.spread }, (_, index) => gpuId + index);
  }

  program({ modelName, port, listenAddress, options }: ServedPlacement<TinyOptions>): ServerProgram {
    const journal = this.journal === undefined ? [] : ['--journal', this.journal];
    return {
      command: [
        ...[process.execPath, SERVER, '--port', String(port), '--host', listenAddress],
        ...['--mode', modelName, ...journal],
      ],
      env: { TINY_SIZE: String(options.size) },
    };
  }

  async probe({ baseUrl, gpuId }: ServedPlacement<TinyOptions>, signal: AbortSignal): Promise<ProbeResult> {
    const { status, body } = await callHttp({ method: 'GET', url: `${baseUrl}/health`, signal });
    if (status !== 200) return { state: 'starting', reason: `health is ${status}` };
    if (body.includes('cpu')) {
      return { state: 'failed', error: new GpuNotUsableError(`It runs on the CPU, not on GPU ${gpuId}.`) };
    }
    return { state: 'ready' };
  }

  override async serverWorkload(
    { baseUrl }: ServedPlacement<TinyOptions>,
    signal: AbortSignal,
  ): Promise<Workload | null> {
    const { status } = await callHttp({ method: 'GET', url: `${baseUrl}/metrics`, signal });
    return status === 200 ? { open: 3, finished: 0 } : null;
  }

  override async beforeStop(
    { baseUrl }: ServedPlacement<TinyOptions>,
    { signal }: BeforeStop,
  ): Promise<void> {
    await callHttp({ method: 'POST', url: `${baseUrl}/free`, body: {}, signal });
  }

  override explainExit(lastLines: readonly string[]): string | undefined {
    return lastLines.findLast((line) => /^\w*Error: /.test(line));
  }

  override isFinalExit(cause: string): boolean {
    return cause.includes('no such option');
  }
}

export function tinyConfig(changes: Partial<PlacementServerConfig> = {}): PlacementServerConfig {
  return {
    enabled: true,
    launcher: 'process',
    image_name: null,
    pull: 'never',
    container_name: 'tiny',
    bind_address: '127.0.0.1',
    ports: { from: 20_000, to: 20_050 },
    device: 'gpu',
    env: {},
    mounts: [],
    shm_size: null,
    memory_limit: null,
    ulimits: [],
    start_timeout_seconds: 10,
    stop_grace_seconds: 2,
    supported_models: [
      'quick',
      'slow',
      'crash',
      'unfit',
      'wrong-device',
      'stubborn',
      'leaves-child',
      'deaf-to-free',
    ],
    ...changes,
  };
}
