import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { SYSTEMD_VARIABLES, WITHHELD_PREFIXES } from '../../src/launchers/process/inherited-environment.js';
import {
  COMFYUI_DECIDED_FLAGS,
  COMFYUI_DECIDED_VARIABLES,
  COMFYUI_FREE_FLAGS,
  COMFYUI_REFUSED_FLAGS,
} from '../../src/runners/comfyui/comfyui-flags.js';
import { DECIDED_VARIABLES } from '../../src/runners/decided.js';
import { HTTP_WITHHELD } from '../../src/runners/http/http-decided.js';
import {
  TRITON_DECIDED_FLAGS,
  TRITON_DECIDED_VARIABLES,
  TRITON_FREE_FLAGS,
} from '../../src/runners/triton/triton-flags.js';
import {
  VLLM_DECIDED_FLAGS,
  VLLM_DECIDED_VARIABLES,
  VLLM_FREE_FLAGS,
  VLLM_REFUSED_FLAGS,
} from '../../src/runners/vllm/vllm-flags.js';

const names = (...of: Readonly<Record<string, string>>[]): string[] => of.flatMap(Object.keys).sort();
const code = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

/** The sections of a page, in its order. */
function sectionsOf(page: string): string[] {
  return readFileSync(page, 'utf8').split(/^## /m).slice(1);
}

/** What the first column of a section's tables names. */
function listed(section: string): string[] {
  const rows = [...section.matchAll(/^\| ([^|]+) \|/gm)].map(([, cell = '']) => cell);
  return rows.flatMap(code).sort();
}

/** The flags in the paragraph about those that are free, which begins with these words. */
function free(section: string, words: RegExp): string[] {
  const paragraph = section.split('\n\n').find((each) => words.test(each)) ?? '';
  return code(paragraph)
    .filter((name) => name.startsWith('--'))
    .sort();
}

describe.each([
  ['docs/flags.md', /^Free: /],
  ['docs/flags.zh-CN.md', /^可自由使用：/],
])('%s', (page, freeWords) => {
  const [variables = '', triton = '', vllm = '', comfyui = '', http = ''] = sectionsOf(page);

  it('lists the variables of every backend, and what is not inherited', () => {
    expect(listed(variables)).toEqual(names(DECIDED_VARIABLES));
    const inherited = code(variables.slice(variables.lastIndexOf('|')));
    const expected = [...WITHHELD_PREFIXES.map((prefix) => `${prefix}*`), ...SYSTEMD_VARIABLES];
    expect(inherited).toEqual(expect.arrayContaining(expected));
    expect(code(http)).toEqual(expect.arrayContaining(HTTP_WITHHELD));
  });

  it("lists Triton's", () => {
    expect(listed(triton)).toEqual(names(TRITON_DECIDED_FLAGS, TRITON_DECIDED_VARIABLES));
    expect(free(triton, freeWords)).toEqual([...TRITON_FREE_FLAGS].sort());
  });

  it("lists vLLM's, whose own page has those that are free", () => {
    expect(listed(vllm)).toEqual(names(VLLM_DECIDED_FLAGS, VLLM_REFUSED_FLAGS, VLLM_DECIDED_VARIABLES));
    const own = readFileSync('docs/backends/vllm.md', 'utf8');
    const lists = ['Without a value: ', 'With a value: '].map((words) => free(own, new RegExp(`^${words}`)));
    expect(lists.flat().sort()).toEqual([...VLLM_FREE_FLAGS].sort());
  });

  it("lists ComfyUI's", () => {
    expect(listed(comfyui)).toEqual(
      names(COMFYUI_DECIDED_FLAGS, COMFYUI_REFUSED_FLAGS, COMFYUI_DECIDED_VARIABLES),
    );
    // With the question that tells those of other versions.
    expect(free(comfyui, freeWords).filter((flag) => COMFYUI_FREE_FLAGS.includes(flag))).toEqual(
      [...COMFYUI_FREE_FLAGS].sort(),
    );
  });
});
