import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Main processes of the servers that the process launcher has on record. */
export async function pidsOnRecord(stateDir: string): Promise<number[]> {
  const directory = join(stateDir, 'processes');
  const files = await readdir(directory).catch(() => []);
  const records = await Promise.all(
    files
      .filter((file) => file.endsWith('.json'))
      // A server may end, and its record go, between the two.
      .map((file) => readFile(join(directory, file), 'utf8').catch(() => '')),
  );
  return records
    .map((record) => /"pid":\s*(\d+)/.exec(record)?.[1])
    .filter((pid) => pid !== undefined)
    .map(Number);
}

/** How often the servers have loaded the model and come to its end, by their logs. */
export async function loadsInLogs(stateDir: string, model: string): Promise<number> {
  const directory = join(stateDir, 'logs');
  const files = await readdir(directory).catch(() => []);
  const logs = await Promise.all(files.map((file) => readFile(join(directory, file), 'utf8')));
  return logs.join('').split(`successfully loaded '${model}'`).length - 1;
}
