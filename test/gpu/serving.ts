import { setTimeout as sleep } from 'node:timers/promises';
import { smiProcesses } from './nvidia-smi.js';
import { checkProcesses, checkReadings, PROCESS_MIB, READING_MS } from './readings.js';
import type { Report } from './report.js';
import { MODEL, procStat, type PyTorchServer, type Rig, until } from './rig.js';

/** Longest time, ms, from the end of the process to the answer of the stop. */
const PROOF_LIMIT_MS = 500;
/** What CUDA takes beside what PyTorch reserves, MiB, at the most. */
const CONTEXT_LIMIT_MIB = 2048;
const BURN_SECONDS = 15;
/** Looks at the memory, once a second. */
const LEARNING_MS = 3000;

interface StopAnswer {
  readonly code?: string;
  readonly detail?: string;
  readonly gpu_memory?: { readonly released_mb: number; readonly held_mb: number } | null;
}

interface Target {
  readonly id: number;
  readonly uuid: string;
}

/** From a start to a stop on one GPU. */
export async function checkServing(rig: Rig, report: Report, gpu: Target): Promise<void> {
  const server = await rig.start(gpu.id);
  await report.section('pinning', () => checkPinning(rig, report, gpu, server));
  await report.section('attribution', () => checkAttribution(rig, report, gpu, server));
  await server.burn(BURN_SECONDS);
  await sleep(2000);
  await report.section('readings', () => checkReadings(rig, report, 'at work'));
  await report.section('processes', () => checkProcesses(rig, report));
  await report.section('learned peak', () => checkLearned(rig, report, gpu, server));
  await report.section('stop', () => checkStop(rig, report, gpu, server));
}

async function checkPinning(rig: Rig, report: Report, gpu: Target, server: PyTorchServer): Promise<void> {
  const { visible, devices, uuid, torch } = await server.state();
  report.note(`PyTorch ${torch}, pid ${server.pid}`);
  report.check(
    `pinned by UUID to GPU ${gpu.id}`,
    visible === gpu.uuid && devices === 1 && (uuid === '' || `GPU-${uuid.replace(/^GPU-/, '')}` === gpu.uuid),
    `CUDA_VISIBLE_DEVICES=${visible ?? ''}, ${devices} device(s), PyTorch is on ${uuid || 'a device it does not name'}`,
  );
  // An earlier reading does not have it yet.
  await sleep(READING_MS);
  const views = await rig.gpus();
  const on = views.filter(({ processes }) => processes.some(({ pid }) => pid === server.pid));
  report.check(
    'on that GPU alone',
    on.length === 1 && on[0]?.uuid === gpu.uuid,
    on.length === 0
      ? 'NVML shows its pid nowhere: in a container, this needs the pids of the host (--pid=host)'
      : `NVML shows it on GPU ${on.map(({ id }) => id).join(', ')}`,
  );
}

async function checkAttribution(rig: Rig, report: Report, gpu: Target, server: PyTorchServer): Promise<void> {
  const found = (await rig.gpus())
    .find(({ id }) => id === gpu.id)
    ?.processes.find(({ pid }) => pid === server.pid);
  report.check(
    'attribution',
    found?.placement === `${MODEL}@${gpu.id}` && found.managed === true,
    `placement ${found?.placement ?? 'none'}, managed ${String(found?.managed)}`,
  );
}

async function checkLearned(rig: Rig, report: Report, gpu: Target, server: PyTorchServer): Promise<void> {
  await sleep(LEARNING_MS);
  const { peak_mib: reserved } = await server.state();
  const held = (await smiProcesses()).find(({ pid }) => pid === server.pid)?.memoryMib ?? null;
  if (held === null) {
    report.note(`nvidia-smi does not tell what a process holds on GPU ${gpu.id}: there is no peak to learn`);
    return;
  }
  const { body } = await rig.api.call<{ needs_mb: number | null; needs_source: string }>(
    'POST',
    '/api/v1/models/plan',
    { model_name: MODEL, gpu_id: gpu.id },
  );
  const learned = body.needs_mb ?? 0;
  report.check(
    'learned peak',
    body.needs_source === 'learned' &&
      learned >= Math.floor(reserved) &&
      learned <= reserved + CONTEXT_LIMIT_MIB &&
      learned >= held - PROCESS_MIB,
    `${learned} MiB ${body.needs_source}; PyTorch reserved ${reserved.toFixed(0)} MiB, so that CUDA has ${(learned - reserved).toFixed(0)} MiB; nvidia-smi ${held} MiB`,
  );
}

async function checkStop(rig: Rig, report: Report, gpu: Target, server: PyTorchServer): Promise<void> {
  const stopping = rig.stop(gpu.id).then((answer) => ({ answer, at: performance.now() }));
  // The driver has the memory back once the process is a zombie.
  const isGone = (): boolean => (procStat(server.pid)?.[0] ?? 'Z') === 'Z';
  while (!isGone()) await sleep(2);
  const releasedAt = performance.now();
  const { answer, at } = await stopping;
  const { gpu_memory: memory } = answer.body as StopAnswer;
  const proofMs = at - releasedAt;
  report.check(
    'stop proven after the release',
    answer.status === 200 && proofMs <= PROOF_LIMIT_MS,
    `${answer.status}, ${proofMs.toFixed(0)} ms (limit ${PROOF_LIMIT_MS} ms); released ${memory?.released_mb ?? 'unknown'} MiB, held ${memory?.held_mb ?? 'unknown'} MiB`,
  );
  if (memory)
    report.check(
      'memory of the stop',
      memory.released_mb > 0 && memory.held_mb === 0,
      JSON.stringify(memory),
    );
}

/** A child that has left its server, and keeps memory. */
export async function checkHeld(rig: Rig, report: Report, gpu: Target): Promise<void> {
  const server = await rig.start(gpu.id, { keeper: true });
  const { keeper_pid: keeper } = await server.state();
  if (keeper === null) throw new Error('the server has no child');
  try {
    await checkKept(rig, report, gpu, keeper);
  } finally {
    if (procStat(keeper)) process.kill(keeper, 'SIGKILL');
  }
  await until('the placement is gone', async () => (await rig.status(gpu.id)) === undefined, 60_000);
}

async function checkKept(rig: Rig, report: Report, gpu: Target, keeper: number): Promise<void> {
  const parent = procStat(keeper)?.[1];
  await until('NVML shows the child', async () =>
    (await rig.gpus()).some(({ processes }) => processes.some(({ pid }) => pid === keeper)),
  );
  // The polite stop notes who holds memory; the server cuts the child off, and stays.
  const polite = rig.stop(gpu.id);
  await until('the child is on its own', () => Promise.resolve(procStat(keeper)?.[1] !== parent), 10_000);
  const forced = await rig.stop(gpu.id, { force: true });
  await polite;
  const { code, detail = '' } = forced.body as StopAnswer;
  report.check(
    'a child that keeps memory',
    forced.status === 500 && code === 'GPU_MEMORY_HELD' && detail.includes(`process ${keeper} `),
    `${forced.status} ${code ?? ''}: ${detail} (the child is ${keeper})`,
  );
  const ended = await rig.api.call('DELETE', `/api/v1/processes/${keeper}`);
  report.check('the remedy', ended.status === 200, `DELETE of process ${keeper}: ${ended.status}`);
}
