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
    [
      'a pattern that looks around',
      opt({ type: 'string', pattern: '(?!-).*', default: '' }),
      ['options.a.pattern'],
    ],
    [
      'a pattern that looks back',
      opt({ type: 'string', pattern: '(.)\\1', default: '' }),
      ['options.a.pattern'],
    ],
    ['an option without a type', opt({ default: 1 }), ['options.a.type']],
    ['a health path without a slash', { health_path: 'health' }, ['health_path']],
    ['a health path with a space', { health_path: '/a b' }, ['health_path']],
    ['a health path with a line end', { health_path: '/a\r\nHost: evil' }, ['health_path']],
    ['a metric that is none', { drain: { path: '/metrics', metrics: ['a b'] } }, ['drain.metrics.0']],
    ['an unknown key', { shell: 'sh -c' }, ['']],
  ])('refuses %s', (_, changes: Record<string, unknown>, expected: string[]) => {
    expect(faultsOf(changes)).toEqual(expected[0] === '' ? ['runners.http.models.qwen'] : expected);
  });

  const named = { ports: ['grpc', 'metrics'], args: ['{port}', '{port.grpc}', '{port.metrics}'] };

  it('has ports by name, and which of them a path is on', () => {
    const drain = { path: '/metrics', port: 'metrics', metrics: ['a'] };
    expect(faultsOf({ ...named, health_port: 'grpc', drain })).toEqual([]);
    expect(faultsOf({ ...named, health_port: 'http', drain: { ...drain, port: 'http' } })).toEqual([]);
    expect(faultsOf({ args: ['{port.http}'], health_port: 'http' })).toEqual([]);
  });

  it.each<[string, Record<string, unknown>, string, RegExp]>([
    [
      'a placeholder of a port that is not there',
      { args: [...named.args, '--x={port.metric}'] },
      'args.3',
      /^\{port\.metric\} is unknown: is \{port\.metrics\} meant\? There are \{port\}, .*\{port\.grpc\}/,
    ],
    ['one without its prefix', { env: { A: '{grpc}' } }, 'env.A', /is \{port\.grpc\} meant\?/],
    ['one that is like none', { args: [...named.args, '{wonderful}'] }, 'args.3', /is unknown: there are \{/],
    ['a name twice', { ports: ['grpc', 'metrics', 'grpc'] }, 'ports.2', /^grpc is there already$/],
    [
      'the name of the main port',
      { ports: ['grpc', 'http', 'metrics'] },
      'ports.1',
      /\{port\}: leave it out$/,
    ],
    ['a name that is none', { ports: ['grpc', 'metrics', 'a-b'] }, 'ports.2', /small letters/],
    [
      'a port that nobody is told',
      { args: ['{port}', '{port.grpc}'] },
      'ports.1',
      /say \{port\.metrics\} in args/,
    ],
    [
      'a main port that nobody is told',
      { args: named.args.slice(1) },
      'ports',
      /http, the main port: say \{port\}/,
    ],
    [
      'an unknown port of the health path',
      { health_port: 'metrcs' },
      'health_port',
      /is metrics meant\? There are http, grpc, metrics$/,
    ],
    [
      'an unknown port of the drain',
      { drain: { path: '/m', port: 'admin', metrics: ['a'] } },
      'drain.port',
      /^admin is no port of this model/,
    ],
    ['a placeholder in the command', { command: ['x{port.grpc}'] }, 'command.0', /belong in args/],
    [
      'a port given twice',
      { args: [...named.args, '--grpc={port.grpc}', '--grpc=9000'] },
      'args.4',
      /--grpc is set by this service: use \{port\.grpc\} alone/,
    ],
    ['a key with a typing error', { heath_port: 'grpc' }, '', /is health_port meant/],
  ])('refuses %s, and says what to do', (_, changes, key, words) => {
    const found = faults({ models: { qwen: { ...model, ...named, ...changes } } });
    const path = ['runners.http.models.qwen', ...(key === '' ? [] : [key])].join('.');
    expect(found).toEqual({ [path]: expect.stringMatching(words) as string });
  });

  it('refuses more ports for one server than there are', () => {
    const models = { qwen: { ...model, ...named } };
    expect(faults({ ports: { from: 18_500, to: 18_502 }, models })).toEqual({});
    expect(faults({ ports: { from: 18_500, to: 18_501 }, models })).toEqual({
      'runners.http.models.qwen.ports':
        'a server has 3 ports with these, and runners.http.ports has 2: widen that range',
    });
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
