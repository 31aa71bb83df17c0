import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const SOURCE = join(process.cwd(), 'test/real/nvml-double/nvml_double.c');

/** NVIDIA's library as the service loads it, with the processes of the test on its GPUs: 0, 1 and 2. */
export class NvmlDouble {
  private constructor(private readonly directory: string) {}

  /** What is needed to build it: gcc, and NVIDIA's header. */
  static isBuildable(): boolean {
    const compiler = spawnSync('gcc', ['-E', '-include', 'nvml.h', '-x', 'c', '/dev/null'], {
      stdio: 'ignore',
    });
    return compiler.status === 0;
  }

  static async build(): Promise<NvmlDouble> {
    const double = new NvmlDouble(await mkdtemp(join(tmpdir(), 'mic-nvml-double-')));
    await promisify(execFile)('gcc', ['-shared', '-fPIC', SOURCE, '-o', double.library]);
    await double.place({});
    return double;
  }

  get library(): string {
    return join(this.directory, 'double.so');
  }

  /** Of the service. */
  get env(): Record<string, string> {
    return { NVML_DOUBLE_CONTROL: join(this.directory, 'control') };
  }

  /** GPU → processes on it, as long as they live. */
  async place(gpus: Readonly<Record<number, readonly number[]>>): Promise<void> {
    // With a word for no GPU: none is invented, even where none is placed.
    const words = [
      'placed:',
      ...Object.entries(gpus).flatMap(([gpu, pids]) => pids.map((pid) => `${gpu}:${pid}`)),
    ];
    // In one step: the service may read at any moment.
    const draft = join(this.directory, 'draft');
    await writeFile(draft, words.join(' '));
    await rename(draft, join(this.directory, 'control'));
  }

  dispose(): Promise<void> {
    return rm(this.directory, { recursive: true });
  }
}
