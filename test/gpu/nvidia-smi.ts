import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** A GPU by the word of nvidia-smi: MiB, percent, °C, W. `null` where it has no such reading. */
export interface SmiGpu {
  readonly id: number;
  readonly uuid: string;
  readonly name: string;
  readonly driver: string;
  readonly memoryTotal: number | null;
  readonly memoryUsed: number | null;
  readonly utilization: number | null;
  readonly temperature: number | null;
  readonly powerDraw: number | null;
}

/** A process that computes on a GPU. */
interface SmiProcess {
  readonly uuid: string;
  readonly pid: number;
  readonly memoryMib: number | null;
}

async function query(option: string, fields: readonly string[]): Promise<string[][]> {
  const { stdout } = await promisify(execFile)('nvidia-smi', [
    `--query-${option}=${fields.join(',')}`,
    '--format=csv,noheader,nounits',
  ]);
  const lines = stdout.split('\n').filter((line) => line.trim() !== '');
  return lines.map((line) => line.split(',').map((value) => value.trim()));
}

function numberOf(text: string | undefined): number | null {
  const value = Number.parseFloat(text ?? '');
  return Number.isNaN(value) ? null : value;
}

/** In the order of nvidia-smi. */
export async function smiGpus(): Promise<SmiGpu[]> {
  const rows = await query('gpu', [
    ...['index', 'uuid', 'name', 'driver_version', 'memory.total', 'memory.used'],
    ...['utilization.gpu', 'temperature.gpu', 'power.draw'],
  ]);
  return rows.map(
    ([index, uuid = '', name = '', driver = '', total, used, utilization, temperature, power]) => ({
      ...{ id: Number(index), uuid, name, driver },
      ...{ memoryTotal: numberOf(total), memoryUsed: numberOf(used) },
      ...{
        utilization: numberOf(utilization),
        temperature: numberOf(temperature),
        powerDraw: numberOf(power),
      },
    }),
  );
}

export async function smiProcesses(): Promise<SmiProcess[]> {
  const rows = await query('compute-apps', ['gpu_uuid', 'pid', 'used_memory']);
  return rows.map(([uuid = '', pid, memory]) => ({ uuid, pid: Number(pid), memoryMib: numberOf(memory) }));
}
