import { resolve } from 'node:path';
import { loadConfig } from '../../src/config/load-config.js';
import { backends } from '../../src/runners/backends.js';
import { DEFAULT_YAML } from '../fakes/house.js';
import { faultsOf, over } from './config-rig.js';

const DEMO_YAML = resolve(import.meta.dirname, '../../config/demo.yaml');

describe('the configuration files of the repository', () => {
  it('default.yaml is valid, and opens nothing to the network', () => {
    const config = loadConfig(DEFAULT_YAML, {}, backends);
    expect(config.server).toMatchObject({ host: '127.0.0.1', port: 6004, trusted_network: false });
    expect(config.runners.triton).toMatchObject({
      bind_address: '127.0.0.1',
      container_name: 'triton_server',
      supported_models: ['MAM', 'FastFitAll'],
    });
  });

  it('demo.yaml is valid, and needs neither GPU nor Docker', () => {
    const config = loadConfig(DEFAULT_YAML, { MIC_CONFIG: DEMO_YAML }, backends);
    expect([config.gpus.source, config.runners.triton.launcher]).toEqual(['simulated', 'process']);
  });
});

it('settings of models that the file leaves out are no fault where the defaults have them', () => {
  expect(faultsOf(() => over('runners: { triton: { supported_models: [Other] } }'))).toEqual([]);
});

describe('a file that is laid over the default', () => {
  it('merges mappings and replaces everything else', () => {
    const { runners, server } = over(`
      server: { port: 7000 }
      runners:
        triton:
          supported_models: [Other]
          model_gpu_configs: { Other: { instances_per_gpu: 3 } }
    `);
    expect(server).toMatchObject({ port: 7000, host: '127.0.0.1' });
    expect(runners.triton.supported_models).toEqual(['Other']);
    expect(Object.keys(runners.triton.model_gpu_configs).sort()).toEqual([
      'FastFitAll',
      'MAM',
      'Other',
      'default',
    ]);
    expect(runners.comfyui.supported_models).toEqual(['chane_face']);
  });

  it.each(['', '# nothing but a comment\n', '---\n'])('may be empty: %j', (text) => {
    expect(over(text)).toEqual(loadConfig(DEFAULT_YAML, {}, backends));
  });

  it('makes paths absolute', () => {
    expect(over('state: { dir: here }').state.dir).toBe(resolve('here'));
  });

  it.each([
    [
      'is not there',
      () => loadConfig(DEFAULT_YAML, { MIC_CONFIG: '/nowhere/x.yaml' }, backends),
      /^\/nowhere\/x\.yaml: .*ENOENT/,
    ],
    ['is no YAML', () => over('a: [1'), /over\.yaml: not valid YAML/],
    [
      'has a key twice',
      () => over('log: { level: info }\nlog: { level: warn }'),
      /over\.yaml: not valid YAML/,
    ],
    ['is a list', () => over('- a'), /over\.yaml: must hold a mapping/],
  ])('is refused when it %s', (_name, load, message) => {
    expect(faultsOf(load)).toEqual([expect.stringMatching(message)]);
  });
});

describe('a wrong configuration', () => {
  it('has every fault told at once, each with its path', () => {
    const faults = faultsOf(() =>
      over(`
        server: { host: 0.0.0.0, port: 99999, colour: red }
        log: { level: loud }
        health: { fast_interval_ms: 1 }
        restart: null
        runners:
          triton:
            shm_size: lots
            gpus: "0,1"
            http_port: 8001
            supported_models: [A, ../B]
            ulimits: [{ name: stack, soft: 1 }]
          comfyui: { supported_models: [A] }
      `),
    );
    const expected = [
      /^server\.port: /,
      /^server: .*colour/,
      /^server\.host: is reachable from other machines/,
      /^log\.level: /,
      /^health\.fast_interval_ms: /,
      /^restart: /,
      /^runners\.triton\.shm_size: /,
      /^runners\.triton\.gpus: /,
      /^runners\.triton\.http_port: .*must differ/,
      /^runners\.triton\.supported_models\.1: /,
      /^runners\.triton\.ulimits\.0\.hard: /,
      /^runners\.comfyui\.supported_models\.0: A already belongs to triton/,
    ];
    for (const pattern of expected) expect(faults).toContainEqual(expect.stringMatching(pattern));
    expect(faults).toHaveLength(expected.length);
  });

  it('has those of texts and names told beside those of shape', () => {
    const faults = faultsOf(() =>
      over(`
        runners:
          triton: { env: { CUDA_VISIBLE_DEVICES: '0', AIP_MODE: x, X: 1 } }
          http:
            ports: { from: 31600, to: '31650' }
            launcher: process
            models:
              a: { command: [a], health_path: no, args: ['{prot}', 8000], env: { X: 1, Y: '{port.m}' }, ports: [m, m, 9x] }
              b: { command: [a], args: ['{port}'], health_path: /, health_port: metrics, drain: { path: 1 } }
              c: { health_path: 7 }
              d: { command: a, health_path: /, args: ['{nothing}'] }
          vllm: { start_timeout_seconds: x, models: { q: { extra_args: [--port, '1'], max_model_len: 0 } } }
      `),
    );
    const paths = faults.map((fault) => fault.split(': ')[0]?.replace('runners.', ''));
    expect(paths.sort()).toEqual(
      [
        ...['vllm.start_timeout_seconds', 'vllm.models.q.max_model_len', 'vllm.models.q.model'],
        ...['vllm.models.q.extra_args.0', 'vllm.models.q.extra_args.1'],
        ...['triton.env.CUDA_VISIBLE_DEVICES', 'triton.env.AIP_MODE', 'triton.env.X', 'http.ports.to'],
        ...['a.health_path', 'a.args.0', 'a.args.1', 'a.env.X', 'a.ports', 'a.ports.1', 'a.ports.2'].map(
          (path) => `http.models.${path}`,
        ),
        ...['b.health_port', 'b.drain.path', 'b.drain.metrics'].map((path) => `http.models.${path}`),
        ...['c.health_path', 'c.command', 'd.command'].map((path) => `http.models.${path}`),
      ].sort(),
    );
  });

  it.each([
    ['server: { host: 0.0.0.0 }', /^server\.host: is reachable/],
    ...['triton', 'comfyui', 'vllm', 'http'].flatMap((backend) =>
      ['0.0.0.0', "'::'", '10.0.0.5', 'gpu-host'].map((address): [string, RegExp] => [
        `runners: { ${backend}: { bind_address: ${address} } }`,
        new RegExp(`^runners\\.${backend}\\.bind_address: is reachable .*server\\.trusted_network`),
      ]),
    ),
    ['server: { host: 192.168.1.7 }', /^server\.host: is reachable/],
    ['server: { host: "::" }', /^server\.host: is reachable/],
    ['server: { host: localhost.evil.com }', /^server\.host: is reachable/],
    [
      'runners: { comfyui: { supported_models: [MAM] } }',
      /supported_models\.0: MAM already belongs to triton/,
    ],
    ['runners: { triton: { supported_models: [A, A] } }', /supported_models\.1: A already belongs to triton/],
    ['runners: { tgi: {} }', /^runners: .*tgi/],
    ['runners: { triton: { model_gpu_configs: { A: { instances_per_gpu: 0 } } } }', /A\.instances_per_gpu/],
    ['runners: { triton: { gpus: "device=" } }', /^runners\.triton\.gpus/],
    ['runners: { triton: { dedicated_ports: { from: 18000, to: 18001 } } }', /dedicated_ports: a range of/],
    ['restart: { initial_delay_ms: 0 }', /^restart\.initial_delay_ms/],
    [
      'runners: { http: { models: { a: { launcher: process, command: [a], health_path: /, options: { ctx: { type: integer, defualt: 5, default: 5, mni: 1 } } } } } }',
      /options\.ctx: defualt is no key: is default meant\?; mni is no key: is min meant\?$/,
    ],
    [
      'runners: { http: { models: { a: { launcher: process, command: [a], health_path: /, options: { ctx: { type: boolean, default: true, pattrn: x } } } } } }',
      /options\.ctx: pattrn is no key$/,
    ],
    [
      'runners: { http: { models: { a: { launcher: process, command: [a], health_path: /, options: { "ctx-size": { type: boolean, default: true } } } } } }',
      /options\.ctx-size: ctx-size is no key: letters, digits and "_"$/,
    ],
    [
      'gpus: { policies: { defalt: shared } }',
      /^gpus\.policies\.defalt: defalt is no key: default, an NVML index or a UUID \(GPU-…\); is default meant\?$/,
    ],
    [
      'gpus: { policies: { "GPU 1": shared } }',
      /^gpus\.policies\.GPU 1: GPU 1 is no key: default, an NVML index or a UUID \(GPU-…\)$/,
    ],
    [
      'runners: { vllm: { models: { "my model": { model: m } } } }',
      /^runners\.vllm\.models\.my model: my model is no key: letters, digits, "_", "\." and "-" only/,
    ],
    [
      'runners: { triton: { env: { "A-B": x } } }',
      /^runners\.triton\.env\.A-B: A-B is no key: letters, digits and "_", no digit first$/,
    ],
    [
      'runners: { triton: { shm_size: [1] } }',
      /^runners\.triton\.shm_size: Invalid input: expected string or number$/,
    ],
    ['unknown: 1', /^\(top level\): .*unknown/],
    ['servr: {}', /^\(top level\): servr is no key: is server meant\?$/],
    ['server: { prot: 1 }', /^server: prot is no key: is port meant\?$/],
    [
      'runners: { vllm: { models: { llama: { model: m, max_modle_len: 9 } } } }',
      /^runners\.vllm\.models\.llama: max_modle_len is no key: is max_model_len meant\?$/,
    ],
    [
      'runners: { triton: { ulimits: [{ nmae: stack, name: stack, soft: 1, hard: 1 }] } }',
      /^runners\.triton\.ulimits\.0: nmae is no key: is name meant\?$/,
    ],
    [
      'runners: { triton: { ulimits: [{ name: stack, soft: 1 }] } }',
      /^runners\S+hard: is missing: expected number$/,
    ],
    [
      'runners: { triton: { model_gpu_configs: { MAN: { instances_per_gpu: 2 } } } }',
      /^runners\.triton\.model_gpu_configs\.MAN: MAN is not among runners\.triton\.supported_models: is MAM meant\?$/,
    ],
    [
      'runners: { comfyui: { model_configs: { elsewhere: { drain_seconds: 2 } } } }',
      /^runners\.comfyui\.model_configs\.elsewhere: elsewhere is not among runners\.comfyui\.supported_models$/,
    ],
    [
      'runners: { http: { models: { a: { launcher: process, command: [a], health_path: /, options: { ctx: { default: 1 } } } } } }',
      /^runners\.http\.models\.a\.options\.ctx\.type: is missing: expected 'integer' \| /,
    ],
    [
      'runners: { http: { models: { a: { launcher: process, command: [a], health_path: /, options: { ctx: { type: int, default: 1 } } } } } }',
      /^runners\.http\.models\.a\.options\.ctx\.type: .*expected 'integer' \| /i,
    ],
    [
      'runners: { vllm: { models: { llama: { model: } } } }',
      /^runners\.vllm\.models\.llama\.model: is missing: expected string$/,
    ],
    ['restart:', /^restart: is missing: expected object$/],
    ['log: { level: }', /^log\.level: is missing: expected one of "/],
    ['runners: { triton: { shm_size: } }', /^runners\.triton\.shm_size: is missing/],
    ['runners: { triton: { HTTP_PORT: 1 } }', /^runners\.triton: HTTP_PORT is no key: is http_port meant\?$/],
    [
      'runners: { triton: { model_gpu_configs: { defualt: {} } } }',
      /^runners\.triton\.model_gpu_configs\.defualt: .*: is default meant\?$/,
    ],
    [
      'runners: { triton: { supported_models: [MAM, FastFitAll, default] } }',
      /^runners\.triton\.supported_models\.2: default is a reserved name: .*model_gpu_configs/,
    ],
  ])('is refused: %s', (yaml, message) => {
    expect(faultsOf(() => over(yaml))).toEqual([expect.stringMatching(message)]);
  });

  it.each([
    'server: { host: 0.0.0.0, trusted_network: true }',
    'server: { trusted_network: true }\nrunners: { triton: { bind_address: 0.0.0.0 } }',
    "runners: { triton: { bind_address: 127.0.0.2 }, vllm: { bind_address: '::1' }, http: { bind_address: localhost } }",
    'server: { host: localhost }',
    'server: { host: 127.1.2.3 }',
    'runners: { triton: { gpus: "device=0,GPU-1b2c" } }',
    'runners: { triton: { gpus: none, shm_size: 1073741824, memory_limit: 1.5g } }',
  ])('is not: %s', (yaml) => {
    expect(faultsOf(() => over(yaml))).toEqual([]);
  });
});
