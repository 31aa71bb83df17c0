import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processName } from '../../src/host/process-name.js';

describe('the name of a process', () => {
  let proc: string;

  beforeAll(async () => {
    proc = await mkdtemp(join(tmpdir(), 'mic-proc-'));
    const processes: Record<string, [comm: string, cmdline: string]> = {
      1: ['tritonserver\n', '/opt/bin/tritonserver\0--http-port=8000\0'],
      2: ['VLLM::EngineCor\n', 'VLLM::EngineCore\0'],
      3: ['triton_python_b\n', 'sh\0'],
    };
    for (const [pid, [comm, cmdline]] of Object.entries(processes)) {
      await mkdir(join(proc, pid));
      await writeFile(join(proc, pid, 'comm'), comm);
      await writeFile(join(proc, pid, 'cmdline'), cmdline);
    }
  });

  afterAll(() => rm(proc, { recursive: true }));

  it.each([
    [1, 'tritonserver'],
    [2, 'VLLM::EngineCore'],
    [3, 'triton_python_b'],
    [4, 'unknown'],
  ])('of pid %i is %s', (pid, name) => {
    expect(processName(pid, () => undefined, proc)).toBe(name);
  });

  it('is of the program that NVML names where /proc does not know the pid', () => {
    expect(processName(4, () => '/usr/bin/python3.11', proc)).toBe('python3.11');
  });
});
