import { setTimeout as sleep } from 'node:timers/promises';
import { type SmiGpu, smiGpus, smiProcesses } from './nvidia-smi.js';
import type { Report } from './report.js';
import type { GpuView, Rig } from './rig.js';

/** How far a reading may be outside of what nvidia-smi says before and after it: they look at different moments. */
const TOLERANCE = { memoryTotal: 1, memoryUsed: 64, utilization: 25, temperature: 3 } as const;
const POWER_WATTS = 15;
const POWER_SHARE = 0.15;
export const PROCESS_MIB = 64;

const TRIES = 5;
/** The service's readings serve for a second. */
export const READING_MS = 1100;

type Reading = keyof typeof TOLERANCE | 'powerDraw';

const VIEW_OF: Readonly<Record<Reading, (gpu: GpuView) => number | null>> = {
  memoryTotal: (gpu) => gpu.memory_total,
  memoryUsed: (gpu) => gpu.memory_used,
  utilization: (gpu) => gpu.utilization,
  temperature: (gpu) => gpu.temperature,
  powerDraw: (gpu) => gpu.power_draw,
};

/** Every reading of every GPU that nvidia-smi knows, taken between two looks of nvidia-smi. */
export async function checkReadings(rig: Rig, report: Report, when: string): Promise<void> {
  let missed: readonly (readonly [string, string])[] = [];
  let right: readonly (readonly [string, string])[] = [];
  // What changes between the looks is looked at again.
  for (let tries = 0; tries < TRIES; tries += 1) {
    await sleep(READING_MS);
    const before = await smiGpus();
    const views = await rig.gpus();
    const after = await smiGpus();
    const found = before.flatMap((gpu, at) => compared(gpu, after[at] ?? gpu, views));
    missed = found.filter(([, , isRight]) => !isRight).map(([name, figure]) => [name, figure]);
    right = found.filter(([, , isRight]) => isRight).map(([name, figure]) => [name, figure]);
    if (missed.length === 0) break;
  }
  for (const [name, figure] of right) report.check(`${name}, ${when}`, true, figure);
  for (const [name, figure] of missed) report.check(`${name}, ${when}`, false, figure);
}

function compared(
  before: SmiGpu,
  after: SmiGpu,
  views: readonly GpuView[],
): (readonly [name: string, figure: string, isRight: boolean])[] {
  const view = views.find(({ id }) => id === before.id);
  const readings = Object.keys(VIEW_OF) as Reading[];
  return readings.map((reading) => {
    const [low, high] = [before[reading], after[reading]];
    const value = view ? VIEW_OF[reading](view) : null;
    const name = `GPU ${before.id} ${reading}`;
    const figure = `${value ?? 'none'} (nvidia-smi: ${low ?? 'none'}, ${high ?? 'none'})`;
    if (low === null || high === null || value === null)
      return [name, figure, low === null && high === null && value === null];
    const slack =
      reading === 'powerDraw' ? Math.max(POWER_WATTS, POWER_SHARE * Math.max(low, high)) : TOLERANCE[reading];
    return [name, figure, value >= Math.min(low, high) - slack && value <= Math.max(low, high) + slack];
  });
}

/** The order is that of nvidia-smi. */
export async function checkUuids(rig: Rig, report: Report): Promise<void> {
  const expected = (await smiGpus()).map(({ uuid }) => uuid);
  const views = await rig.gpus();
  const found = views.flatMap(({ uuid }) => (uuid === null ? [] : [uuid]));
  report.check('order of UUIDs', found.join() === expected.join(), found.join(', '));
  for (const { id, error } of views) if (error !== undefined) report.note(`GPU ${id}: ${error}`);
}

/** All that compute, with what they hold. */
export async function checkProcesses(rig: Rig, report: Report): Promise<void> {
  await sleep(READING_MS);
  const apps = await smiProcesses();
  const views = await rig.gpus();
  for (const { uuid, pid, memoryMib } of apps) {
    const found = views.find((gpu) => gpu.uuid === uuid)?.processes.find((each) => each.pid === pid);
    const held = found?.gpu_memory_usage ?? null;
    const isSame =
      memoryMib === null || held === null ? memoryMib === held : Math.abs(memoryMib - held) <= PROCESS_MIB;
    report.check(
      `process ${pid}`,
      found !== undefined && isSame,
      `${found ? (held ?? 'unknown') : 'not there'} MiB (nvidia-smi: ${memoryMib ?? 'unknown'})`,
    );
  }
  if (apps.length === 0) report.check('processes', false, 'nvidia-smi shows none, although PyTorch runs');
}
