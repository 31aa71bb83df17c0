import { describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const FAULTS = Array.from({ length: 46 }, (_, index) => index + 1);
/** Proven with a real Engine and a real Triton too. */
const REAL = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 21, 27, 37];

const page = readFileSync('docs/reliability.md', 'utf8');

const rows = [...page.matchAll(/^\| F(\d+): ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)].map(
  ([, fault, , promise = '', proof = '']) => ({
    fault: Number(fault),
    promise: promise.trim(),
    files: [...proof.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file),
  }),
);

describe('docs/reliability.md', () => {
  it('has one row for every fault, in their order, with a promise', () => {
    expect(rows.map(({ fault }) => fault)).toEqual(FAULTS);
    expect(rows.filter(({ promise }) => promise === '')).toEqual([]);
  });

  it('names tests that exist', () => {
    const named = [...page.matchAll(/`(test\/[^`]+\.ts)`/g)].map(([, file = '']) => file);
    expect(named.filter((file) => !existsSync(file))).toEqual([]);
  });

  it('proves each fault by the file of its number', () => {
    const numberOf = (file: string): number => Number(/^test\/faults\/f(\d\d)-/.exec(file)?.[1]);
    expect(rows.filter(({ fault, files }) => !files.some((file) => numberOf(file) === fault))).toEqual([]);
  });

  it('leaves out no fault test', () => {
    const files = readdirSync('test/faults').map((file) => join('test/faults', file));
    const named = rows.flatMap((row) => row.files);
    expect(files.filter((file) => !named.includes(file))).toEqual([]);
  });

  it.each(REAL)('proves F%d with real backends, in a test that says so', (fault) => {
    const files = rows.find((row) => row.fault === fault)?.files ?? [];
    const real = files.filter((file) => file.startsWith('test/real/'));
    const texts = real.map((file) => readFileSync(file, 'utf8'));
    expect(texts.some((text) => new RegExp(`\\bF${fault}: `).test(text))).toBe(true);
  });
});
