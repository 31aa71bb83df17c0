import { MARKER } from './process-environment.js';
import type { ProcessLogs } from './process-log.js';
import type { ProcessRecord, ProcessRecords } from './process-records.js';
import { isAlive, type ProcessRow, startedBefore } from '../../host/process-identity.js';
import { writesTo } from '../../host/process-descriptors.js';
import { environmentOf, listProcesses } from '../../host/process-table.js';
import * as z from 'zod';
import { isServerName } from '../server-name.js';

const labelsSchema = z.record(z.string(), z.string());

function parseLabels(text: string | undefined): Readonly<Record<string, string>> {
  try {
    const result = labelsSchema.safeParse(JSON.parse(text ?? '{}'));
    return result.success ? result.data : {};
  } catch {
    // Not JSON: not written by us as it stands, so it claims nothing.
    return {};
  }
}

/** The record that `row` should have, going by its environment. */
async function recordFromEnvironment(row: ProcessRow, owner: string): Promise<ProcessRecord | undefined> {
  const environment = await environmentOf(row.pid);
  const name = environment.get(MARKER.name);
  const launchId = environment.get(MARKER.id);
  if (environment.get(MARKER.owner) !== owner || !name || !launchId || !isServerName(name)) return undefined;
  return {
    version: 1,
    name,
    labels: parseLabels(environment.get(MARKER.labels)),
    command: [],
    ...(environment.get(MARKER.stopSignal) === 'SIGINT' && { stopSignal: 'SIGINT' as const }),
    launchId,
    pid: row.pid,
    startTime: row.startTime,
    launchedAt: new Date().toISOString(),
    logOffset: 0,
    ended: false,
    exitCode: null,
  };
}

/** The record that `row` should have, going by where its output goes; for programs that hide their environment. */
async function recordFromOutput(
  row: ProcessRow,
  unfinished: readonly ProcessRecord[],
  logs: ProcessLogs,
): Promise<ProcessRecord | undefined> {
  for (const record of unfinished) {
    if (await writesTo(row.pid, logs.pathOf(record.name))) return record;
  }
  return undefined;
}

/**
 * Finds servers of ours that no record knows the pid of, because the service died between the spawn and the record or
 * lost the record, and writes what was missing. The main process of a server leads a session of its own; of several
 * that do, it is the oldest.
 */
export async function recordOrphans(
  owner: string,
  records: ProcessRecords,
  logs: ProcessLogs,
): Promise<void> {
  const known = new Map((await records.list()).map((record) => [record.name, record]));
  const unfinished = [...known.values()].filter((record) => record.pid === null);
  const leaders = (await listProcesses())
    .filter((row) => row.alive && row.pid === row.sessionId && row.pid !== process.pid)
    .sort((a, b) => (startedBefore(a, b) ? -1 : startedBefore(b, a) ? 1 : 0));
  for (const row of leaders) {
    const found =
      (await recordFromEnvironment(row, owner)) ?? (await recordFromOutput(row, unfinished, logs));
    if (!found) continue;
    const record = known.get(found.name);
    // Complete: it runs, or what is found here are its descendants, which the next launch or stop clears away.
    if (
      record &&
      record.pid !== null &&
      (record.launchId === found.launchId || (await isAliveRecord(record)))
    )
      continue;
    const { pid, startTime } = row;
    const complete = record?.launchId === found.launchId ? { ...record, pid, startTime } : found;
    known.set(found.name, complete);
    await records.write(complete);
  }
}

/** Whether the main process of `record` is the one that runs under its pid. */
export async function isAliveRecord(record: ProcessRecord): Promise<boolean> {
  if (record.ended || record.pid === null || record.startTime === null) return false;
  return isAlive({ pid: record.pid, startTime: record.startTime });
}
