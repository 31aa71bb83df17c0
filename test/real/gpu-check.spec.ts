import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { NvmlDouble } from '../support/nvml-double.js';

jest.setTimeout(240_000);

const STANDIN = resolve('test/gpu/standin');
const LIMIT_BYTES = 40 * 2 ** 20;

const isReady =
  NvmlDouble.isBuildable() &&
  existsSync('dist/server.js') &&
  spawnSync('python3', ['--version']).status === 0 &&
  spawnSync('xz', ['--version']).status === 0;
if (!isReady && process.env.REQUIRE_REAL === '1')
  throw new Error(
    'the check of GPUs needs a build, gcc, nvml.h, python3 and xz: run test/real/provision/provision.sh',
  );

(isReady ? describe : describe.skip)(
  'the packed check of GPUs, on doubles of NVML, nvidia-smi and PyTorch',
  () => {
    let directory: string;
    let archive: string;
    let nvml: NvmlDouble;

    beforeAll(async () => {
      nvml = await NvmlDouble.build();
      directory = mkdtempSync(join(tmpdir(), 'mic-gpu-spec-'));
      archive = join(directory, 'check.tar.xz');
      // As little compressed as can be: what is well compressed is smaller.
      execFileSync(process.execPath, ['scripts/pack-gpu.js', '--out', archive, '--level', '0']);
      execFileSync('python3', ['-m', 'tarfile', '-e', archive, directory]);
    });

    afterAll(async () => {
      await nvml.dispose();
      rmSync(directory, { recursive: true });
    });

    beforeEach(() => nvml.place({}));

    interface Outcome {
      readonly code: number | null;
      readonly output: string;
    }

    /** @param env over that of a host that has all */
    async function check(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
      const path = (process.env.PATH ?? '').split(delimiter);
      const child = spawn(join(directory, 'mic-gpu-check/run.sh'), args, {
        cwd: '/',
        env: {
          ...{ TMPDIR: directory, PYTHONPATH: STANDIN, PATH: [STANDIN, ...path].join(delimiter) },
          ...nvml.env,
          ...env,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let output = '';
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
      const [code] = (await once(child, 'close')) as [number | null];
      return { code, output };
    }

    /** Names of what was missed, each once. */
    function missedIn(output: string): string[] {
      return [...output.matchAll(/^MISS {2}([^:]+):/gm)].map(([, name = '']) => name);
    }

    it('is one archive that fits', () => {
      expect(statSync(archive).size).toBeLessThan(LIMIT_BYTES);
    });

    it('prints figures of everything, ends with 0, and leaves nothing behind', async () => {
      const before = readdirSync(directory).sort();
      const { code, output } = await check(['--rounds=3', '--seconds=5', `--nvml=${nvml.library}`]);
      expect({ code, missed: missedIn(output), output }).toEqual({ code: 0, missed: [], output });
      for (const figure of [
        /^GPU 0: NVIDIA Double 0, GPU-00000, driver 0\.0$/m,
        /^ok {4}order of UUIDs: GPU-00000, GPU-00001, GPU-00002$/m,
        /^ok {4}GPU 0 memoryUsed, before: 3596 \(nvidia-smi: 3596, 3596\)$/m,
        /^ok {4}GPU 1 powerDraw, at work: none \(nvidia-smi: none, none\)$/m,
        /^ok {4}pinned by UUID to GPU 0: CUDA_VISIBLE_DEVICES=GPU-00000, 1 device/m,
        /^ok {4}pinned by UUID to GPU 2: CUDA_VISIBLE_DEVICES=GPU-00002, 1 device/m,
        /^ok {4}attribution: placement torch@0, managed true$/m,
        /^ok {4}process \d+: 676 MiB \(nvidia-smi: 676\)$/m,
        /^ok {4}learned peak: 676 MiB learned; PyTorch reserved 576 MiB/m,
        /^ok {4}stop proven after the release: 200, \d+ ms \(limit 500 ms\); released 676 MiB, held 0 MiB$/m,
        /^ok {4}a child that keeps memory: 500 GPU_MEMORY_HELD: .*process (\d+) \(612 MiB\).*\(the child is \1\)$/m,
        /^ok {4}cost of sampling at 1 Hz: 0\.\d+ % of a core/m,
        /^ok {4}Xid events: registration of NVML: code 0; the service: watches$/m,
        /^ok {4}3 rounds of start and stop: GPU 3596 → 3596 MiB/m,
        /^(\d+) of \1 checks passed$/m,
      ])
        expect(output).toMatch(figure);
      expect(readdirSync(directory).sort()).toEqual(before);
    });

    it.each([
      [
        'temperature.gpu',
        'readings',
        ['GPU 0 temperature, before', 'GPU 1 temperature, before', 'GPU 2 temperature, before'],
      ],
      [
        'memory.used',
        'readings',
        ['GPU 0 memoryUsed, before', 'GPU 1 memoryUsed, before', 'GPU 2 memoryUsed, before'],
      ],
      ['uuid', 'uuids', ['order of UUIDs']],
    ])('fails on a wrong reading: %s', async (reading, section, missed) => {
      const { code, output } = await check([`--only=${section}`, `--nvml=${nvml.library}`], {
        SMI_WRONG: reading,
      });
      expect({ code, missed: missedIn(output) }).toEqual({ code: 1, missed });
      expect(output).toMatch(/checks passed; missed: /);
    });

    it.each([
      ['no nvidia-smi', [], { PATH: '/usr/bin:/bin' }, /^nvidia-smi cannot be asked: /m],
      ['no PyTorch', [], { PYTHONPATH: '' }, /has no PyTorch for CUDA:\n.*No module named 'torch'/s],
      ['a PyTorch that sees no GPU', [], { NO_GPU: '1' }, /has no PyTorch for CUDA:\n.*it sees no GPU/s],
      ['no such GPU', ['--gpu=7'], {}, /^There is no GPU 7\.$/m],
      ['no such option', ['--gpus=7'], {}, /^Usage: \.\/run\.sh/m],
      [
        'no library of NVIDIA',
        ['--only=uuids', '--nvml=libnot-there.so'],
        {},
        /^MISS {2}uuids: GET \/gpus answers 501/m,
      ],
      ['no such section', ['--only=reading'], {}, /^MISS {2}reading: there is no such section$/m],
    ] as const)('says in words what is amiss: %s', async (_what, args, env, words) => {
      const { code, output } = await check(args, env);
      expect(output).toMatch(words);
      expect(output).not.toMatch(/^ +at /m);
      expect(code).toBe(1);
    });
  },
);
