import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as z from 'zod';
import { writeWhole } from '../../common/durable-file.js';
import { readRegular } from '../../common/files/regular-file.js';

/** GPU → how many of its Xid errors have been told. */
const toldSchema = z.record(z.string(), z.int().min(0));

/** How many Xid errors simulated GPUs have told, also before a restart: a driver tells each once. */
export class ToldXids {
  private told: ReadonlyMap<string, number> | undefined;

  /** @param file `null`: nothing is kept */
  constructor(private readonly file: string | null) {}

  /** Of a file that is not there or makes no sense: none. */
  async load(): Promise<ReadonlyMap<string, number>> {
    this.told ??= await this.read();
    return this.told;
  }

  /** Where it cannot be written, it holds for this run: what is invented may be told anew. */
  async save(now: ReadonlyMap<string, number>): Promise<void> {
    const isSame = textOf(now) === textOf(this.told ?? new Map());
    this.told = now;
    if (isSame || this.file === null) return;
    try {
      await mkdir(dirname(this.file), { recursive: true });
      await writeWhole(this.file, textOf(now), 0o600);
    } catch {
      return;
    }
  }

  private async read(): Promise<ReadonlyMap<string, number>> {
    if (this.file === null) return new Map();
    try {
      const kept = toldSchema.parse(JSON.parse(await readRegular(this.file)));
      return new Map(Object.entries(kept));
    } catch {
      return new Map();
    }
  }
}

function textOf(told: ReadonlyMap<string, number>): string {
  return JSON.stringify(Object.fromEntries([...told].filter(([, count]) => count > 0)));
}
