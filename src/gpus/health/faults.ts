/** A fault that a reading of a GPU shows for as long as it is there. `throttle` passes by itself, the others do not. */
export type FaultKind =
  | 'lost'
  | 'reset_required'
  | 'ecc'
  | 'remap_failure'
  | 'remap_pending'
  | 'retired_pages_pending'
  | 'throttle';

export interface GpuFault {
  readonly kind: FaultKind;
  /** How many errors; 1 of what is there or not. */
  readonly count: number;
  /** For a sentence: "uncorrectable memory errors". */
  readonly words: string;
}

/** What a GPU tells of its faults; what it does not tell is left out. */
export interface FaultReadings {
  /** Clocks event reasons, NVML's bits. */
  readonly clockReasons?: number | null;
  /** Uncorrectable memory errors since the driver was loaded. */
  readonly eccUncorrected?: number | null;
  readonly remapPending?: boolean | null;
  readonly remapFailure?: boolean | null;
  readonly retiredPagesPending?: boolean | null;
}

/** `nvmlClocksEventReason…`: those that say that the GPU protects itself. A power cap that software set is normal work. */
export const THROTTLE_BITS = {
  hw_slowdown: 0x8,
  sw_thermal: 0x20,
  hw_thermal: 0x40,
  hw_power_brake: 0x80,
} as const;

export const LOST: GpuFault = { kind: 'lost', count: 1, words: 'GPU is lost: it has fallen off the bus' };
export const RESET_REQUIRED: GpuFault = {
  kind: 'reset_required',
  count: 1,
  words: 'it needs a reset before it can be used again',
};

const WORDS = {
  remapFailure: ['remap_failure', 'a row of its memory could not be remapped: it is to be replaced'],
  remapPending: ['remap_pending', 'a row of its memory is to be remapped, which takes a reset'],
  retiredPagesPending: [
    'retired_pages_pending',
    'pages of its memory are to be retired, which takes a reset',
  ],
} as const;

const THROTTLE_WORDS: Readonly<Record<keyof typeof THROTTLE_BITS, string>> = {
  hw_slowdown: 'hardware slowdown',
  sw_thermal: 'too hot (software thermal slowdown)',
  hw_thermal: 'too hot (hardware thermal slowdown)',
  hw_power_brake: 'power brake',
};

/** The faults that readings show, none where all is well. Pure. */
export function faultsIn(readings: FaultReadings): readonly GpuFault[] {
  const { clockReasons, eccUncorrected } = readings;
  const faults: GpuFault[] = [];
  if ((eccUncorrected ?? 0) > 0) {
    faults.push({ kind: 'ecc', count: eccUncorrected ?? 0, words: 'uncorrectable memory errors (ECC)' });
  }
  for (const key of ['remapFailure', 'remapPending', 'retiredPagesPending'] as const) {
    const [kind, words] = WORDS[key];
    if (readings[key] === true) faults.push({ kind, count: 1, words });
  }
  const throttles = (Object.keys(THROTTLE_BITS) as (keyof typeof THROTTLE_BITS)[])
    .filter((name) => ((clockReasons ?? 0) & THROTTLE_BITS[name]) !== 0)
    .map((name) => THROTTLE_WORDS[name]);
  if (throttles.length > 0) {
    faults.push({ kind: 'throttle', count: 1, words: `its clocks are throttled: ${throttles.join(', ')}` });
  }
  return faults;
}
