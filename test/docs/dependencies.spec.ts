import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';

interface Locked {
  readonly name?: string;
  readonly dev?: boolean;
  readonly engines?: { readonly node?: string };
  readonly hasInstallScript?: boolean;
}

const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
  packages: Record<string, Locked>;
};
const { engines } = JSON.parse(readFileSync('package.json', 'utf8')) as { engines: { node: string } };

/** What `npm ci --omit=dev` installs, by its path and, of an alias, its own name. */
const production = Object.entries(packages)
  .filter(([path, { dev }]) => path !== '' && !dev)
  .map(([path, locked]) => ({
    ...locked,
    name: locked.name ?? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
  }));

const numbersIn = (text: string): number[] => [...text.matchAll(/\d+/g)].map(([digits]) => Number(digits));
const [major = 0, minor = 0] = numbersIn(engines.node);

/** Whether the oldest Node of this service is in a range as npm has it: `^20.19.0 || >=22`. */
function takesOldest(range: string): boolean {
  return range.split('||').some((text) => {
    const part = text.trim();
    const [from = 0, fromMinor = 0] = numbersIn(part);
    if (part === '*') return true;
    const isLater = major > from || (major === from && minor >= fromMinor);
    return part.startsWith('>') ? isLater : isLater && major === from;
  });
}

describe('the production dependencies', () => {
  it('take the oldest Node that this service takes', () => {
    expect(production.length).toBeGreaterThan(100);
    expect(takesOldest('>=22') || takesOldest('^22.1.0') || takesOldest('18.x')).toBe(false);
    const refusing = production.filter(({ engines: { node = '*' } = {} }) => !takesOldest(node));
    expect(refusing.map(({ name }) => name)).toEqual([]);
  });

  it('run nothing at their installation but what builds or checks them, and report nowhere', () => {
    const withScript = production.filter(({ hasInstallScript }) => hasInstallScript);
    expect(withScript.map(({ name }) => name).sort()).toEqual([
      'cpu-features',
      'koffi',
      'protobufjs',
      'ssh2',
    ]);
    expect(Object.values(packages).some(({ name }) => name?.startsWith('@scarf/'))).toBe(false);
    expect(production.map(({ name }) => name).filter((name) => name.startsWith('@scarf/'))).toEqual([]);
  });
});
