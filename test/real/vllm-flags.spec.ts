import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { REAL_VLLM, vllmIsThere } from '../support/real-vllm.js';

/** What the page lists as allowed, and what the service sets itself; "--flag" is how they are written. */
function flagsOfThePage(): string[] {
  const page = readFileSync('docs/backends/vllm.md', 'utf8');
  const [, section = ''] = /^## Flags\n(.*?)^## /ms.exec(page) ?? [];
  return [...section.matchAll(/`(--[a-z-]+)`/g)]
    .map(([, flag = '']) => flag)
    .filter((flag) => flag !== '--flag');
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
    },
    120_000,
  );
});
