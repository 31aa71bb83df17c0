import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import {
  VLLM_DECIDED_FLAGS,
  VLLM_DECIDED_VARIABLES,
  VLLM_REFUSED_FLAGS,
} from '../../src/runners/vllm/vllm-flags.js';
import { REAL_VLLM, vllmIsThere } from '../support/real-vllm.js';

/** What the page lists as allowed, and what the service sets itself; "--flag" is how they are written. */
function flagsOfThePage(): string[] {
  const page = readFileSync('docs/backends/vllm.md', 'utf8');
  const [, section = ''] = /^## Flags\n(.*?)^## /ms.exec(page) ?? [];
  return [...section.matchAll(/`(--[a-z-]+)`/g)]
    .map(([, flag = '']) => flag)
    .filter((flag) => flag !== '--flag');
}

/** A file of the Python packages that vLLM's own server runs with. */
async function readSource(path: string): Promise<string> {
  const python = join(dirname(REAL_VLLM), 'python');
  const where = 'import sysconfig; print(sysconfig.get_path("purelib"))';
  const { stdout } = await promisify(execFile)(python, ['-c', where]);
  return readFileSync(join(stdout.trim(), path), 'utf8');
}

const isThere = vllmIsThere();

describe('the flags of extra_args', () => {
  (isThere ? it : it.skip)(
    "are all known to vLLM's own server",
    async () => {
      const { stdout } = await promisify(execFile)(REAL_VLLM, ['serve', '--help=all'], {
        env: { ...process.env, HF_HUB_OFFLINE: '1', VLLM_NO_USAGE_STATS: '1' },
        maxBuffer: 2 ** 24,
      });
      const known = new Set(stdout.match(/(?<![\w-])--[a-z][\w-]*/g));
      const flags = flagsOfThePage();
      expect(flags.length).toBeGreaterThan(60);
      expect(flags.filter((flag) => !known.has(flag))).toEqual([]);
      const short = new Set(stdout.match(/(?<![\w-])-[a-z]+(?![\w-])/g));
      const own = Object.keys({ ...VLLM_DECIDED_FLAGS, ...VLLM_REFUSED_FLAGS });
      expect(own.filter((flag) => !known.has(flag) && !short.has(flag))).toEqual([]);
    },
    120_000,
  );

  (isThere ? it : it.skip)('and the variables that this service decides, to vLLM or to PyTorch', async () => {
    const source = await readSource('vllm/envs.py');
    const distributed = await readSource('torch/distributed/run.py');
    const own = Object.keys(VLLM_DECIDED_VARIABLES);
    expect(own.filter((name) => !source.includes(`"${name}"`) && !distributed.includes(name))).toEqual([]);
  });
});
