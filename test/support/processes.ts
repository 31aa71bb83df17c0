import { readdir, readFile } from 'node:fs/promises';

/** Live processes that the process launcher of this state directory has launched, and what they have forked. */
export async function processesOf(stateDir: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const ours = await Promise.all(pids.map((pid) => isOf(pid, stateDir)));
  return pids.filter((_, index) => ours[index]);
}

async function isOf(pid: number, stateDir: string): Promise<boolean> {
  try {
    const environment = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0');
    // Of a process that has ended and is not reaped yet, the kernel shows an empty one.
    return environment.includes(`MIC_LAUNCH_OWNER=${stateDir}`);
  } catch {
    return false; // gone, or another user's
  }
}
