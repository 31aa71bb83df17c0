import { ConfigInvalidError, loadConfig } from '../../../src/config/load-config.js';
import { backends } from '../../../src/runners/backends.js';
import type { HttpConfig } from '../../../src/runners/http/http-section.js';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';

const DEFAULT = resolve(import.meta.dirname, '../../../config/default.yaml');
const model = { image_name: 'x:1', health_path: '/health' };
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mic-http-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

function load(http: Record<string, unknown>): HttpConfig {
  const file = join(directory, 'config.yaml');
  writeFileSync(file, stringify({ runners: { http } }));
  return loadConfig(DEFAULT, { MIC_CONFIG: file }, backends).runners.http;
}

function faults(http: Record<string, unknown>): Record<string, string> {
  try {
    load(http);
  } catch (error) {
    if (!(error instanceof ConfigInvalidError)) throw error;
    return Object.fromEntries(error.faults.map(({ path, message }) => [path, message]));
  }
  return {};
}

function faultsOf(changes: Record<string, unknown>): string[] {
  return Object.keys(faults({ models: { qwen: { ...model, ...changes } } })).map((path) =>
    path.replace('runners.http.models.qwen.', ''),
  );
}

describe('runners.http', () => {
  it('has the models of its YAML', () => {
    expect(load({}).supported_models).toEqual([]);
    expect(load({ models: { qwen: model } }).supported_models).toEqual(['qwen']);
  });

  it('shares no model with another backend', () => {
    expect(faults({ models: { MAM: model } })).toEqual({
      'runners.http.models.MAM': 'MAM already belongs to triton: a model has exactly one backend',
    });
  });

  it('needs an image or a command, by the launcher', () => {
    expect(faultsOf({ image_name: undefined })).toEqual(['image_name']);
    expect(faultsOf({ launcher: 'process' })).toEqual(['command']);
    expect(faults({ image_name: 'y:1', models: { qwen: { health_path: '/' } } })).toEqual({});
  });

  it.each([
    ['an unknown placeholder', { args: ['{gpu}'] }, ['args.0']],
    ['one of an option that is not there', { args: ['a', '{option.x}'] }, ['args.1']],
    ['one in the environment', { env: { A: '{shell}' } }, ['env.A']],
    ['one in the command', { command: ['{model}'] }, ['command.0']],
    ['NUL in an argument', { args: ['a\0b'] }, ['args.0']],
    ['arguments as one text', { args: '--port {port}' }, ['args']],
    ['a default that the option refuses', opt({ type: 'string', default: '-x' }), ['options.a.default']],
    ['a default out of bounds', opt({ type: 'integer', max: 1, default: 2 }), ['options.a.default']],
    ['a default below 0 without min', opt({ type: 'integer', default: -1 }), ['options.a.default']],
    ['a pattern that is none', opt({ type: 'string', pattern: '(', default: '' }), ['options.a.pattern']],
    ['an option without a type', opt({ default: 1 }), ['options.a.type']],
    ['a health path without a slash', { health_path: 'health' }, ['health_path']],
    ['a health path with a space', { health_path: '/a b' }, ['health_path']],
    ['a health path with a line end', { health_path: '/a\r\nHost: evil' }, ['health_path']],
    ['a metric that is none', { drain: { path: '/metrics', metrics: ['a b'] } }, ['drain.metrics.0']],
    ['an unknown key', { shell: 'sh -c' }, ['']],
  ])('refuses %s', (_, changes: Record<string, unknown>, expected: string[]) => {
    expect(faultsOf(changes)).toEqual(expected[0] === '' ? ['runners.http.models.qwen'] : expected);
  });

  it.each(['a-b', '1a', 'a.b', ''])('refuses an option with the name %j', (name) => {
    const options = `{ ${JSON.stringify(name)}: { type: boolean, default: true } }`;
    const file = join(directory, 'config.yaml');
    const yaml = `runners: { http: { models: { qwen: { image_name: x, health_path: /, options: ${options} } } } }`;
    writeFileSync(file, yaml);
    expect(() => loadConfig(DEFAULT, { MIC_CONFIG: file }, backends)).toThrow(ConfigInvalidError);
  });

  it.each([
    [40_000, 40_010],
    [32_000, 33_000],
    [60_999, 61_100],
    [18_600, 18_500],
  ])('refuses the ports %d to %d', (from, to) => {
    expect(Object.keys(faults({ ports: { from, to } }))).toEqual(['runners.http.ports']);
  });
});

function opt(option: Record<string, unknown>): Record<string, unknown> {
  return { options: { a: option } };
}
