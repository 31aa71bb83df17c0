import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../../src/config/schema.js';
import { lockState, StateLockedError } from '../../src/state/state-lock.js';
import { testConfig } from '../fakes/house.js';

let directory: string;
let config: Config;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mic-lock-'));
  config = { ...testConfig(), state: { dir: directory } };
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

it('keeps a second service out, of the same process too, until it is released', () => {
  const release = lockState(config);
  expect(() => lockState(config)).toThrow(StateLockedError);
  release();
  lockState(config)();
});
