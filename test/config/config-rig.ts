import { afterAll, beforeAll } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigInvalidError, loadConfig } from '../../src/config/load-config.js';
import { backends } from '../../src/runners/backends.js';
import { DEFAULT_YAML } from '../fakes/house.js';

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'mic-config-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

export function file(text: string): string {
  const path = join(directory, 'over.yaml');
  writeFileSync(path, text);
  return path;
}

/** The configuration with this file laid over the default. */
export const over = (yaml: string, env: NodeJS.ProcessEnv = {}) =>
  loadConfig(DEFAULT_YAML, { ...env, MIC_CONFIG: file(yaml) }, backends);

/** `["path: message", …]` of everything that is wrong. */
export function faultsOf(load: () => unknown): string[] {
  try {
    load();
  } catch (error) {
    if (error instanceof ConfigInvalidError)
      return error.faults.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}
