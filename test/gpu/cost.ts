import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { smiGpus } from './nvidia-smi.js';
import type { Report } from './report.js';
import { procStat, type Rig, type RigSettings } from './rig.js';

const LIMIT_PERCENT = 1;
/** Of these the cheapest counts: what else the machine does, and what the collector does now and then, only adds. */
const TRIES = 3;
const MEMORY_SLACK_MIB = 64;
const RSS_SLACK_MIB = 40;
const FILES_SLACK = 3;

/** Milliseconds of CPU that the threads of a process have used. */
function cpuMs(pid: number): number {
  const tasks = `/proc/${pid}/task`;
  const times = readdirSync(tasks).map((task) =>
    Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0]),
  );
  return times.reduce((sum, ns) => sum + ns / 1e6, 0);
}

function childrenOf(pid: number): number[] {
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  return pids.map(Number).filter((each) => Number(procStat(each)?.[1]) === pid);
}

/** The service at rest, then with one reading each second; the process that calls NVML counts in full. */
export async function checkCost(rig: Rig, report: Report, seconds: number): Promise<void> {
  const [nvml = 0] = childrenOf(rig.pid);
  // What runs for the first time is compiled.
  for (let reads = 0; reads < 5; reads += 1) {
    await rig.gpus();
    await sleep(1000);
  }
  const measure = async (look: () => Promise<unknown>) => {
    const [service, child] = [cpuMs(rig.pid), cpuMs(nvml)];
    const begin = performance.now();
    for (let second = 1; second <= seconds; second += 1) {
      await look();
      await sleep(Math.max(0, begin + second * 1000 - performance.now()));
    }
    const share = 100 / (performance.now() - begin);
    return { service: (cpuMs(rig.pid) - service) * share, nvml: (cpuMs(nvml) - child) * share };
  };
  for (let tries = 1; ; tries += 1) {
    const rest = await measure(() => Promise.resolve());
    const sampling = await measure(() => rig.gpus());
    const cost = sampling.nvml + Math.max(0, sampling.service - rest.service);
    const figure = `${cost.toFixed(2)} % of a core (limit ${LIMIT_PERCENT} %): NVML ${sampling.nvml.toFixed(2)} %, the service ${sampling.service.toFixed(2)} %, at rest ${rest.service.toFixed(2)} %; over ${seconds} s`;
    if (cost <= LIMIT_PERCENT || tries === TRIES) {
      report.check('cost of sampling at 1 Hz', cost <= LIMIT_PERCENT, figure);
      return;
    }
    report.note(`cost of sampling at 1 Hz, measured again: ${figure}`);
  }
}

/** NVML itself is asked by another program; the service says so where it cannot hear of Xid errors. */
export async function checkEvents(rig: Rig, report: Report, settings: RigSettings): Promise<void> {
  const { stdout } = await promisify(execFile)(settings.python, [
    `${settings.directory}/nvml_events.py`,
    settings.nvmlLibrary,
  ]);
  await rig.gpus();
  const note = /Xid errors of the GPUs cannot be watched[^"]*/.exec(rig.log)?.[0];
  report.check(
    'Xid events',
    stdout.trim() === '0' && note === undefined,
    `registration of NVML: code ${stdout.trim()}; the service: ${note ?? 'watches'}`,
  );
}

interface Footprint {
  readonly rssMib: number;
  readonly files: number;
  readonly children: number;
  readonly gpuMib: number;
}

async function footprint(rig: Rig, gpu: number): Promise<Footprint> {
  const status = readFileSync(`/proc/${rig.pid}/status`, 'utf8');
  return {
    rssMib: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024,
    files: readdirSync(`/proc/${rig.pid}/fd`).length,
    children: childrenOf(rig.pid).length,
    gpuMib: (await smiGpus()).find(({ id }) => id === gpu)?.memoryUsed ?? 0,
  };
}

/** Starts and stops, one after another: what the service and the GPU hold does not grow. */
export async function checkRounds(rig: Rig, report: Report, gpu: number, rounds: number): Promise<void> {
  const begin = performance.now();
  // The first ones fill caches.
  const warmUp = Math.min(10, Math.ceil(rounds / 5));
  let before: Footprint | undefined;
  for (let round = 0; round < rounds; round += 1) {
    if (round === warmUp) before = await footprint(rig, gpu);
    await rig.start(gpu);
    const { status, body } = await rig.stop(gpu);
    if (status !== 200)
      throw new Error(`round ${round + 1}: the stop answers ${status} ${JSON.stringify(body)}`);
  }
  const after = await footprint(rig, gpu);
  before ??= after;
  const seconds = (performance.now() - begin) / 1000;
  const grown = (of: keyof Footprint): string => `${before[of].toFixed(0)} → ${after[of].toFixed(0)}`;
  report.check(
    `${rounds} rounds of start and stop`,
    after.gpuMib <= before.gpuMib + MEMORY_SLACK_MIB &&
      after.rssMib <= before.rssMib + RSS_SLACK_MIB &&
      after.files <= before.files + FILES_SLACK &&
      after.children <= before.children,
    `GPU ${grown('gpuMib')} MiB, RSS ${grown('rssMib')} MiB, open files ${grown('files')}, children ${grown('children')}; ${(seconds / rounds).toFixed(1)} s each`,
  );
}
