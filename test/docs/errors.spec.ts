import { describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const STATUS_OF_KIND: Readonly<Record<string, string>> = {
  invalid: '400',
  forbidden: '403',
  not_found: '404',
  conflict: '409',
  internal: '500',
  not_implemented: '501',
  unavailable: '503',
};
/** Errors that can only come up where no request waits for an answer. */
const WITHOUT_ANSWER = ['status', 'boot', 'end', '–'];

/** The service's own source: the stand-in for Triton is a program of its own. */
function sources(): string[] {
  return readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.startsWith('demo'))
    .map((name) => readFileSync(join('src', name), 'utf8'));
}

/** `code = 'X'` of an error class, `code: 'X'` of an answer, and the codes by HTTP status of the filter. */
function codesInSource(): Set<string> {
  const found = sources().flatMap((text) => [
    ...text.matchAll(/\bcode\s*[=:]\s*'([A-Z][A-Z_]+)'/g),
    ...text.matchAll(/\b[45]\d\d: '([A-Z][A-Z_]+)'/g),
  ]);
  return new Set(found.map(([, code = '']) => code));
}

/** code → kind, for each error class that has just one. */
function kindsInSource(): [code: string, kind: string][] {
  const classes = sources().flatMap((text) => text.split(/^(?=export class |class )/m));
  return classes.flatMap((text): [string, string][] => {
    const code = /readonly code = '([A-Z_]+)'/.exec(text)?.[1];
    const kind = /readonly kind = '([a-z_]+)'/.exec(text)?.[1];
    return code !== undefined && kind !== undefined ? [[code, kind]] : [];
  });
}

const PAGES = ['docs/errors.md', 'docs/errors.zh-CN.md'];

interface Row {
  readonly code: string;
  readonly statuses: readonly string[];
}

function rowsOf(page: string): Row[] {
  return [...readFileSync(page, 'utf8').matchAll(/^\| `([A-Z_]+)` \| ([^|]+) \|/gm)].map(
    ([, code = '', statuses = '']) => ({ code, statuses: statuses.trim().split(' / ') }),
  );
}

describe.each(PAGES)('%s', (page) => {
  const rows = rowsOf(page);

  it('lists every code of the source, and no other', () => {
    expect(rows.map((row) => row.code).sort()).toEqual([...codesInSource()].sort());
  });

  it('gives the HTTP status that an error class has', () => {
    const wrong = kindsInSource().filter(([code, kind]) => {
      const statuses = rows.find((row) => row.code === code)?.statuses ?? [];
      return (
        !statuses.includes(STATUS_OF_KIND[kind] ?? '') &&
        !statuses.every((status) => WITHOUT_ANSWER.includes(status))
      );
    });
    expect(wrong).toEqual([]);
  });
});

describe('docs/errors', () => {
  it('gives each code the same HTTP statuses in both languages, in the same order', () => {
    const [english, chinese] = PAGES.map(rowsOf);
    expect(chinese).toEqual(english);
  });
});
