import { Clock } from '../../src/common/clock.js';
import { loadConfig } from '../../src/config/load-config.js';
import { backends } from '../../src/runners/backends.js';
import type { Config } from '../../src/config/schema.js';
import { GpuProvider, type GpuSample } from '../../src/gpus/gpu-provider.js';

export class FakeClock extends Clock {
  ms = 0;

  override now(): Date {
    return new Date(this.ms);
  }
  override monotonicMs(): number {
    return this.ms;
  }
}

export function sample(over: Partial<GpuSample> = {}): GpuSample {
  return {
    id: 0,
    uuid: 'GPU-a',
    name: 'NVIDIA Fake',
    memoryTotalMiB: 24_564,
    memoryUsedMiB: 11_181.6,
    utilization: 37,
    temperature: 54,
    powerDraw: 150.74,
    powerLimit: 350,
    processes: [],
    simulated: false,
    ...over,
  };
}

/** Readings that come when the test says so. */
export class ManualProvider extends GpuProvider {
  readonly signals: AbortSignal[] = [];
  closed = 0;
  private settle:
    { resolve: (samples: readonly GpuSample[]) => void; reject: (error: Error) => void } | undefined;

  override sample(signal: AbortSignal): Promise<readonly GpuSample[]> {
    this.signals.push(signal);
    return new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
  }
  override close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }

  get asked(): number {
    return this.signals.length;
  }
  gives(...samples: readonly GpuSample[]): void {
    this.settle?.resolve(samples);
  }
  fails(error: Error): void {
    this.settle?.reject(error);
  }
}

/** The shipped configuration but for its `gpus` section. */
export function configWith(gpus: Partial<Config['gpus']> = {}): Config {
  const defaults = loadConfig('config/default.yaml', {}, backends);
  return { ...defaults, gpus: { ...defaults.gpus, ...gpus } };
}
