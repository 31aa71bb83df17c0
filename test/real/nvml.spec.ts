import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { SystemClock } from '../../src/common/clock.js';
import { GpuReadError, type GpuSample, NvmlNotInstalledError } from '../../src/gpus/gpu-provider.js';
import { NvmlGpuProvider, type NvmlProviderOptions } from '../../src/gpus/nvml/nvml-gpu-provider.js';

/** Compiled: NVML runs in a process of its own, which knows no TypeScript. */
const ENTRY = resolve('dist/gpus/nvml/nvml-child.js');
const SOURCE = resolve('test/real/nvml-double/nvml_double.c');
const FIRST_PID = 5_000_000;
const TIMEOUT_MS = 10_000;
const signal = new AbortController().signal;

let provider: NvmlGpuProvider | undefined;

afterEach(() => provider?.close());

function open(library: string, options: Partial<NvmlProviderOptions> = {}): NvmlGpuProvider {
  const defaults = { entry: pathToFileURL(ENTRY), timeoutMs: TIMEOUT_MS, retryAfterMs: 0 };
  provider = new NvmlGpuProvider({ ...defaults, library, ...options }, new SystemClock());
  return provider;
}

/** `describe`, or `describe.skip` with a line that says what is not there; with REQUIRE_REAL=1 that is a failure. */
function describeWith(parts: Readonly<Record<string, boolean>>): typeof describe.skip {
  const missing = Object.entries(parts).flatMap(([part, isThere]) => (isThere ? [] : [part]));
  if (missing.length === 0) return describe;
  const text = `NVML tests need ${missing.join(' and ')}`;
  if (process.env.REQUIRE_REAL === '1') throw new Error(`${text}: run test/real/provision/provision.sh`);
  process.stderr.write(`${text}: skipped.\n`);
  return describe.skip;
}

const built = { 'a build (npm run build)': existsSync(ENTRY) };
const cache = spawnSync('ldconfig', ['-p'], {
  encoding: 'utf8',
  env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' },
});
const hasLibrary = cache.status === 0 && cache.stdout.includes('libnvidia-ml.so.1');
const compiler = spawnSync('gcc', ['-E', '-include', 'nvml.h', '-x', 'c', '/dev/null'], { stdio: 'ignore' });

describeWith({ ...built, "NVIDIA's libnvidia-ml.so.1": hasLibrary })("NVIDIA's own library", () => {
  it('gives readings, or says in its own words that there is no driver', async () => {
    const nvml = open('libnvidia-ml.so.1');
    if (existsSync('/proc/driver/nvidia/version')) {
      expect((await nvml.sample(signal)).length).toBeGreaterThan(0);
      return;
    }
    const error = await nvml.sample(signal).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(GpuReadError);
    expect(error).toMatchObject({
      message: expect.stringMatching(/Driver Not Loaded.*nvidia-smi/) as string,
    });
  });
});

describeWith(built)('a library that cannot be used', () => {
  it.each(['libnvidia-ml-not-here.so.1', '/etc/hostname', 'libc.so.6'])('is a 501: %s', async (library) => {
    const error = await open(library)
      .sample(signal)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(NvmlNotInstalledError);
    expect(error).toMatchObject({ message: expect.stringContaining(library) as string });
  });
});

describeWith({ ...built, 'gcc and nvml.h (libnvidia-ml-dev)': compiler.status === 0 })(
  "a double built with NVIDIA's header",
  () => {
    let directory: string;
    let library: string;
    let oldLibrary: string;

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'mic-nvml-double-'));
      library = join(directory, 'double.so');
      oldLibrary = join(directory, 'old.so');
      const flags = ['-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', SOURCE, '-o'];
      execFileSync('gcc', [...flags, library]);
      execFileSync('gcc', ['-DOLD_DRIVER', ...flags, oldLibrary]);
      process.env.NVML_DOUBLE_CONTROL = join(directory, 'control');
    });

    beforeEach(() => tell(''));

    afterAll(async () => {
      delete process.env.NVML_DOUBLE_CONTROL;
      await rm(directory, { recursive: true });
    });

    function tell(words: string): Promise<void> {
      return writeFile(join(directory, 'control'), words);
    }

    function expectOf(samples: readonly GpuSample[], id: number): jest.JestMatchers<GpuSample | undefined> {
      return expect(samples[id]);
    }

    it('is read field by field as it was written', async () => {
      const samples = await open(library).sample(signal);
      const [first] = samples;
      expect(first).toEqual({
        id: 0,
        uuid: 'GPU-00000',
        name: 'NVIDIA Double 0',
        memoryTotalMiB: 24_001,
        memoryUsedMiB: 3596,
        utilization: 37,
        temperature: 54,
        powerDraw: 150.74,
        powerLimit: 350,
        simulated: false,
        processes: [
          ...Array.from({ length: 100 }, (_, n) => ({
            pid: FIRST_PID + n,
            name: `p${FIRST_PID + n}`,
            memoryMiB: n + 1,
          })),
          { pid: FIRST_PID + 1000, name: `p${FIRST_PID + 1000}`, memoryMiB: 1 },
          { pid: FIRST_PID + 1001, name: `p${FIRST_PID + 1001}`, memoryMiB: 2 },
        ],
      });
      expectOf(samples, 1).toMatchObject({ id: 1, powerDraw: null, powerLimit: null, temperature: 55 });
      expectOf(samples, 1).toMatchObject({ processes: [{ pid: FIRST_PID, memoryMiB: null }] });
      expectOf(samples, 1).not.toHaveProperty('error');
      expectOf(samples, 2).toMatchObject({ id: 2, uuid: 'GPU-00002', powerLimit: 350.002 });
      expectOf(samples, 3).toMatchObject({ id: 3, uuid: null, temperature: null, processes: [] });
      expectOf(samples, 3).toMatchObject({
        error: expect.stringContaining('Insufficient Permissions') as string,
      });
      expect(samples).toHaveLength(4);
    });

    it('of an older driver is read through the calls it has', async () => {
      const [first] = await open(oldLibrary).sample(signal);
      expect(first).toMatchObject({ memoryTotalMiB: 24_001, memoryUsedMiB: 3999 });
      expect(first?.processes).toHaveLength(100);
      expect(first?.processes[99]).toEqual({
        pid: FIRST_PID + 99,
        name: `p${FIRST_PID + 99}`,
        memoryMiB: 100,
      });
      expect(first).not.toHaveProperty('error');
    });

    it('loses a GPU in the middle: the others are read, and it is found again when it comes back', async () => {
      const nvml = open(library, { reinitAfterMs: 0 });
      expect((await nvml.sample(signal))[2]).toMatchObject({ temperature: 56 });
      await tell('lost');
      const samples = await nvml.sample(signal);
      expect(samples[0]).toMatchObject({ temperature: 54 });
      expect(samples[2]).toMatchObject({ temperature: null, error: 'GPU 2 cannot be read: GPU is lost' });
      await tell('');
      expect((await nvml.sample(signal))[2]).toMatchObject({ temperature: 56 });
    });

    it('is initialised again, within the same sample, when it says that it is not', async () => {
      const nvml = open(library);
      await nvml.sample(signal);
      await tell('uninitialized');
      expect((await nvml.sample(signal))[0]).toMatchObject({ temperature: 54 });
    });

    it('gives readings once the driver is there, without a restart', async () => {
      const nvml = open(library);
      await tell('no-driver');
      await expect(nvml.sample(signal)).rejects.toThrow(/Driver Not Loaded/);
      await tell('');
      expect(await nvml.sample(signal)).toHaveLength(4);
    });

    it.each([
      ['throttle=1', []],
      ['throttle=4', []],
      ['throttle=48', ['throttle']],
      ['throttle=20 ecc=3', ['ecc', 'throttle']],
      ['remap-pending', ['remap_pending']],
      ['remap-failure', ['remap_failure']],
      ['retiring', ['retired_pages_pending']],
    ])('tells its faults: %s', async (words, kinds) => {
      await tell(words);
      const [first, ...others] = await open(library).sample(signal);
      expect((first?.faults ?? []).map(({ kind }) => kind)).toEqual(kinds);
      expect(first).not.toHaveProperty('error');
      expect(others.filter(({ faults }) => faults)).toEqual([]);
      if (words === 'throttle=20 ecc=3') expect(first?.faults?.[0]).toMatchObject({ count: 3 });
    });

    it('of an older driver tells the faults it knows, and says once that it cannot tell of Xid errors', async () => {
      await tell('throttle=40');
      const notes: string[] = [];
      const nvml = open(oldLibrary, { onNote: (note) => notes.push(note) });
      for (let times = 0; times < 3; times += 1) {
        const [first] = await nvml.sample(signal);
        expect(first?.faults).toMatchObject([{ kind: 'throttle' }]);
        expect(first).not.toHaveProperty('error');
      }
      expect(notes).toEqual([expect.stringContaining('Xid errors')]);
    });

    it('tells an Xid error once, of its GPU, also to who asks for readings later', async () => {
      const nvml = open(library);
      const heard = async (): Promise<(readonly [number, readonly number[]])[]> =>
        (await nvml.sample(signal)).flatMap(({ id, xids }) => (xids ? [[id, xids] as const] : []));
      expect(await heard()).toEqual([]);
      await tell('xid=1.79;');
      await pause(300);
      await tell('xid=1.45;');
      await pause(300);
      expect(await heard()).toEqual([[1, [79, 45]]]);
      expect(await heard()).toEqual([]);
    });

    it('that is lost is a fault of that GPU alone', async () => {
      await tell('lost');
      const samples = await open(library).sample(signal);
      expect(samples.map(({ faults = [] }) => faults.map(({ kind }) => kind))).toEqual([
        [],
        [],
        ['lost'],
        [],
      ]);
      await tell('');
    });

    it('ends with the service, though it waits for Xid errors', async () => {
      const nvml = open(library);
      await nvml.sample(signal);
      const start = performance.now();
      await nvml.close();
      expect(performance.now() - start).toBeLessThan(1000);
    });

    it('that crashes takes nobody along', async () => {
      const nvml = open(library);
      await tell('crash');
      await expect(nvml.sample(signal)).rejects.toThrow(/ended with SIGABRT/);
      await tell('');
      expect(await nvml.sample(signal)).toHaveLength(4);
    });

    it('that hangs fails the sample at its deadline, and the event loop stays free', async () => {
      const timeoutMs = 1000;
      const nvml = open(library, { timeoutMs });
      await nvml.sample(signal);
      await tell('hang');
      const start = performance.now();
      let last = start;
      let longestGap = 0;
      const ticking = setInterval(() => {
        longestGap = Math.max(longestGap, performance.now() - last);
        last = performance.now();
      }, 10);
      await expect(nvml.sample(signal)).rejects.toThrow(/did not answer within 1000 ms/);
      const took = performance.now() - start;
      clearInterval(ticking);
      expect(took).toBeGreaterThan(timeoutMs - 50);
      expect(took).toBeLessThan(timeoutMs + 500);
      expect(longestGap).toBeLessThan(timeoutMs / 2);
      await tell('');
      // The reading that was given up may still be on its way out.
      await nvml.sample(signal).catch(() => undefined);
      expect(await nvml.sample(signal)).toHaveLength(4);
    });

    it('that hangs does not hold up the end of the service', async () => {
      const nvml = open(library);
      await nvml.sample(signal);
      await tell('hang');
      const reading = expect(nvml.sample(signal)).rejects.toBeInstanceOf(GpuReadError);
      const start = performance.now();
      await nvml.close();
      await reading;
      expect(performance.now() - start).toBeLessThan(1000);
    });
  },
);
