import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GpuReadError, NvmlNotInstalledError } from '../../src/gpus/gpu-provider.js';
import { NvmlGpuProvider } from '../../src/gpus/nvml/nvml-gpu-provider.js';
import { FakeClock } from './rig.js';

const entry = pathToFileURL('test/gpus/scripted-nvml-child.mjs');
const signal = new AbortController().signal;
/** Long enough for a process to start on a busy machine; a test that waits for it says so. */
const PATIENT_MS = 20_000;
const SHORT_MS = 400;
const RETRY_MS = 2000;

describe('the NVML process', () => {
  let directory: string;
  let clock: FakeClock;
  let provider: NvmlGpuProvider | undefined;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mic-nvml-'));
    process.env.SCRIPTED_NVML_RUNS = join(directory, 'runs');
    clock = new FakeClock();
  });

  afterEach(async () => {
    await provider?.close();
    delete process.env.SCRIPTED_NVML_RUNS;
    await rm(directory, { recursive: true });
  });

  function providerOf(library: string, timeoutMs = PATIENT_MS): NvmlGpuProvider {
    provider = new NvmlGpuProvider({ library, entry, timeoutMs, retryAfterMs: RETRY_MS }, clock);
    return provider;
  }

  async function runs(): Promise<number> {
    return (await readFile(join(directory, 'runs'), 'utf8')).trim().split('\n').length;
  }

  it('is started once, at the first sample, and kept', async () => {
    const nvml = providerOf('healthy');
    const together = await Promise.all([nvml.sample(signal), nvml.sample(signal)]);
    expect(together).toMatchObject([[{ uuid: 'run-1' }], [{ uuid: 'run-1' }]]);
    expect(await nvml.sample(signal)).toMatchObject([{ uuid: 'run-1' }]);
    expect(await runs()).toBe(1);
  });

  it('without a library is a 501 with a remedy, and tried again only after a while', async () => {
    const nvml = providerOf('missing');
    const first = await nvml.sample(signal).catch((error: unknown) => error);
    expect(first).toBeInstanceOf(NvmlNotInstalledError);
    expect((first as Error).message).toMatch(/in its own words.*gpus\.nvml_library/);
    expect(await nvml.sample(signal).catch((error: unknown) => error)).toBe(first);
    expect(await runs()).toBe(1);
    clock.ms += RETRY_MS;
    await expect(nvml.sample(signal)).rejects.toBeInstanceOf(NvmlNotInstalledError);
    expect(await runs()).toBe(2);
  });

  it('recovers when the driver comes later', async () => {
    const nvml = providerOf('noDriverOnce');
    await expect(nvml.sample(signal)).rejects.toThrow(/cannot be initialised: in its own words/);
    clock.ms += RETRY_MS;
    expect(await nvml.sample(signal)).toMatchObject([{ uuid: 'run-2' }]);
  });

  it('is replaced within the sample when NVML is not initialised any more', async () => {
    expect(await providerOf('uninitializedOnce').sample(signal)).toMatchObject([{ uuid: 'run-2' }]);
  });

  it('is not replaced for ever when that does not help', async () => {
    const nvml = providerOf('neverInitialized');
    await expect(nvml.sample(signal)).rejects.toThrow(/gives no readings/);
    await expect(nvml.sample(signal)).rejects.toThrow(/gives no readings/);
    expect(await runs()).toBe(2);
  });

  it('is replaced after a GPU was lost, now and then', async () => {
    const nvml = providerOf('lost');
    await nvml.sample(signal);
    expect(await nvml.sample(signal)).toMatchObject([{ uuid: 'run-1' }]);
    clock.ms += 30_000;
    await nvml.sample(signal);
    expect(await nvml.sample(signal)).toMatchObject([{ uuid: 'run-2', error: 'lost' }]);
  });

  it('that crashes is an error, and the next comes after a while', async () => {
    const nvml = providerOf('crashes');
    await expect(nvml.sample(signal)).rejects.toThrow(/ended with SIGSEGV/);
    await expect(nvml.sample(signal)).rejects.toThrow(/ended with SIGSEGV/);
    expect(await runs()).toBe(1);
  });

  it('that hangs is killed, and the next one answers', async () => {
    const nvml = providerOf('hangsOnce', PATIENT_MS / 10);
    await expect(nvml.sample(signal)).rejects.toThrow(/did not answer within 2000 ms/);
    // Joins the reading that is just being given up, or finds it failed.
    await expect(nvml.sample(signal)).rejects.toBeInstanceOf(GpuReadError);
    clock.ms += RETRY_MS;
    expect(await nvml.sample(signal)).toMatchObject([{ uuid: 'run-2' }]);
  });

  it('that takes long to initialise is left to it', async () => {
    const nvml = providerOf('slowInit', SHORT_MS);
    await expect(nvml.sample(signal)).rejects.toThrow(/still initialising/);
    await expect(nvml.sample(signal)).rejects.toThrow(/still initialising/);
    expect(await runs()).toBe(1);
  });

  it('is gone after close, for good, and close may be called again', async () => {
    const nvml = providerOf('healthy');
    await nvml.sample(signal);
    await nvml.close();
    await nvml.close();
    const pid = Number(await readFile(join(directory, 'runs'), 'utf8'));
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    await expect(nvml.sample(signal)).rejects.toThrow(/the service is ending/);
  });

  it('is not waited for by a caller that gives up', async () => {
    const nvml = providerOf('slowInit');
    const abort = new AbortController();
    const reading = nvml.sample(abort.signal);
    abort.abort(new Error('nobody waits'));
    await expect(reading).rejects.toThrow(/nobody waits/);
    await expect(nvml.sample(abort.signal)).rejects.toBeInstanceOf(GpuReadError);
  });
});
