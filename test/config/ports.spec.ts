import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse, stringify } from 'yaml';
import { faultsOf, over } from './config-rig.js';

/** The file with a use for every range of ports. */
function allPortsInUse(path: string): string {
  const tree = parse(readFileSync(path, 'utf8')) as { runners: { triton: object } };
  const triton = { ...tree.runners.triton, model_gpu_configs: { default: { use_dedicated_server: true } } };
  const any = { launcher: 'process', command: ['any'], health_path: '/health' };
  const more = { http: { models: { any } }, vllm: { models: { llama: { model: 'meta/llama' } } } };
  return stringify({ ...tree, runners: { triton, ...more } });
}

describe('the ports of all backends', () => {
  it.each(['default.yaml', 'demo.yaml'])('are distinct in %s, also where all are used', (name) => {
    const path = resolve(import.meta.dirname, '../../config', name);
    expect(faultsOf(() => over(allPortsInUse(path)))).toEqual([]);
  });

  it.each([
    [
      'runners: { comfyui: { ports: { from: 8002, to: 8010 } } }',
      'runners.comfyui.ports: 8002-8010 overlaps runners.triton.metrics_port (8002): give each its own ports',
    ],
    [
      'runners: { vllm: { ports: { from: 18499, to: 18510 }, models: { llama: { model: meta/llama } } } }',
      'runners.vllm.ports: 18499-18510 overlaps runners.comfyui.ports (18400-18499): give each its own ports',
    ],
    [
      'runners: { triton: { http_port: 18450 } }',
      'runners.comfyui.ports: 18400-18499 overlaps runners.triton.http_port (18450): give each its own ports',
    ],
    [
      'runners: { triton: { http_port: 18100, model_gpu_configs: { MAM: { use_dedicated_server: true } } } }',
      'runners.triton.dedicated_ports: 18000-18299 overlaps runners.triton.http_port (18100): give each its own ports',
    ],
    [
      'server: { port: 18450 }',
      'runners.comfyui.ports: 18400-18499 overlaps server.port (18450): give each its own ports',
    ],
    [
      'server: { port: 8001 }',
      'runners.triton.grpc_port: 8001 overlaps server.port (8001): give each its own ports',
    ],
    [
      'runners: { http: { ports: { from: 6000, to: 6010 }, models: { a: { launcher: process, command: [a], health_path: / } } } }',
      'runners.http.ports: 6000-6010 overlaps server.port (6004): give each its own ports',
    ],
    [
      'runners: { triton: { dedicated_ports: { from: 6000, to: 6010 }, model_gpu_configs: { MAM: { use_dedicated_server: true } } } }',
      'runners.triton.dedicated_ports: 6000-6010 overlaps server.port (6004): give each its own ports',
    ],
  ])('are refused where they overlap: %s', (yaml, fault) => {
    expect(faultsOf(() => over(yaml))).toEqual([fault]);
  });

  it('are told with all other faults', () => {
    const yaml =
      'runners: { comfyui: { python: 1, ports: { from: 8000, to: 8000 } }, triton: { shm_size: lots } }';
    expect(
      faultsOf(() => over(yaml))
        .map((fault) => fault.split(':')[0])
        .sort(),
    ).toEqual([...['runners.comfyui.ports', 'runners.comfyui.python', 'runners.triton.shm_size']]);
  });

  it.each([
    ['no model', 'runners: { vllm: { ports: { from: 18400, to: 18410 } } }'],
    ['no dedicated server', 'runners: { triton: { dedicated_ports: { from: 18400, to: 18499 } } }'],
    ['the service takes any', 'server: { port: 0 }'],
    ['not offered', 'runners: { comfyui: { enabled: false, ports: { from: 8000, to: 8002 } } }'],
  ])('do not matter where they are not used: %s', (_why, yaml) => {
    expect(faultsOf(() => over(yaml))).toEqual([]);
  });
});
