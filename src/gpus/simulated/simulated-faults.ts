import * as z from 'zod';
import { messageOf, systemCodeOf } from '../../common/errors.js';
import { fileWork } from '../../common/files/file-work.js';
import { readRegular } from '../../common/files/regular-file.js';
import { GpuReadError, type GpuSample } from '../gpu-provider.js';
import { faultsIn, type GpuFault, LOST, RESET_REQUIRED, THROTTLE_BITS } from '../health/faults.js';
import type { ToldXids } from './told-xids.js';
import { NO_READINGS } from '../no-readings.js';

const THROTTLES = Object.keys(THROTTLE_BITS) as (keyof typeof THROTTLE_BITS)[];

/** What is wrong with one simulated GPU. */
const faultSchema = z.strictObject({
  lost: z.boolean().default(false),
  reset_required: z.boolean().default(false),
  ecc_uncorrected: z.int().min(0).default(0),
  remap_pending: z.boolean().default(false),
  remap_failure: z.boolean().default(false),
  retired_pages_pending: z.boolean().default(false),
  throttle: z.array(z.enum(THROTTLES)).default([]),
  /** All that it has reported so far; those that are added are new. */
  xids: z.array(z.int().min(1)).default([]),
});

/** By slot or UUID. */
const faultsSchema = z.record(z.string(), faultSchema);

type Faults = z.infer<typeof faultSchema>;

/** The faults of simulated GPUs, by the file `gpus.simulated.faults_file`. */
export class SimulatedFaults {
  constructor(
    private readonly file: string | null,
    private readonly told: ToldXids,
  ) {}

  /**
   * The readings with the faults of their GPUs. @param slotOf GPU → its slot
   * @throws GpuReadError that the file makes no sense
   */
  async applied(samples: readonly GpuSample[], slotOf: ReadonlyMap<number, number>): Promise<GpuSample[]> {
    if (this.file === null) return [...samples];
    const faults = await this.read(this.file);
    const told = await this.told.load();
    // Of a GPU that was taken out nothing is forgotten.
    const now = new Map([...told].filter(([uuid]) => !samples.some((sample) => sample.uuid === uuid)));
    const applied = samples.map((sample) => {
      const found = faults[String(slotOf.get(sample.id))] ?? faults[sample.uuid ?? ''];
      const uuid = sample.uuid ?? String(sample.id);
      if (!found) return sample;
      now.set(uuid, found.xids.length);
      return withFaults(sample, found, found.xids.slice(told.get(uuid) ?? 0));
    });
    await this.told.save(now);
    return applied;
  }

  private async read(file: string): Promise<Readonly<Record<string, Faults>>> {
    try {
      const text = await fileWork.run(file, () => readRegular(file));
      return text.trim() === '' ? {} : faultsSchema.parse(JSON.parse(text));
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return {};
      throw new GpuReadError(`gpus.simulated.faults_file ${file} makes no sense: ${messageOf(error)}`);
    }
  }
}

function withFaults(sample: GpuSample, faults: Faults, xids: readonly number[]): GpuSample {
  const heard = xids.length > 0 ? { xids } : {};
  if (faults.lost) return { ...broken(sample, LOST, 'GPU is lost'), ...heard };
  if (faults.reset_required) {
    return { ...broken(sample, RESET_REQUIRED, 'GPU requires reset'), ...heard };
  }
  const found = faultsIn({
    clockReasons: faults.throttle.reduce((bits, name) => bits | THROTTLE_BITS[name], 0),
    eccUncorrected: faults.ecc_uncorrected,
    remapPending: faults.remap_pending,
    remapFailure: faults.remap_failure,
    retiredPagesPending: faults.retired_pages_pending,
  });
  return { ...sample, ...(found.length > 0 && { faults: found }), ...heard };
}

/** As NVML tells of a GPU that gives no readings. */
function broken(sample: GpuSample, fault: GpuFault, words: string): GpuSample {
  return {
    ...sample,
    ...NO_READINGS,
    error: `GPU ${sample.id} cannot be read: ${words}`,
    faults: [fault],
  };
}
