import { readFileSync } from 'node:fs';
import { defaultVllmOptions, vllmOptions } from '../../../src/runners/vllm/vllm-options.js';
import { vllmProgram } from '../../../src/runners/vllm/vllm-program.js';
import type { ServedPlacement } from '../../../src/runners/placement-server/served-placement.js';
import type { VllmOptions } from '../../../src/runners/vllm/vllm-options.js';
import { vllmSection } from '../../../src/runners/vllm/vllm-section.js';
import { VllmRunner } from '../../../src/runners/vllm/vllm-runner.js';
import { vllmConfig } from './rig.js';

function modelWith(entry: Record<string, unknown>): Record<string, unknown> {
  return { models: { llama: { model: 'meta/llama', ...entry } } };
}

function faultsOf(entry: Record<string, unknown>): string {
  const result = vllmSection.safeParse({ ...vllmConfig(), supported_models: undefined, ...modelWith(entry) });
  if (result.success) return '';
  return result.error.issues
    .filter(({ path }) => path[0] === 'models')
    .map(({ path, message }) => `${path.join('.')}: ${message}`)
    .join('; ');
}

function placement(changes: Partial<ServedPlacement<VllmOptions>> = {}): ServedPlacement<VllmOptions> {
  return {
    modelName: 'llama',
    gpuId: 2,
    gpuIds: [2],
    gpus: [{ id: 2, uuid: 'GPU-2' }],
    options: defaultVllmOptions(undefined),
    port: 18_600,
    ports: new Map([['http', 18_600]]),
    settings: { bind_address: '127.0.0.1', device: 'gpu' },
    listenAddress: '127.0.0.1',
    baseUrl: 'http://127.0.0.1:18600',
    ...changes,
  };
}

describe('the configuration of vLLM', () => {
  it.each([
    [['--enforce-eager']],
    [['--max-num-seqs=8', '--enable-prefix-caching']],
    [['--max-num-seqs', '8', '--seed', '1']],
    [['--hf-overrides={"a": "--port"}']],
    [[]],
  ])('takes extra_args %j', (args) => {
    expect(faultsOf({ extra_args: args })).toBe('');
  });

  it.each([
    [['--port=1'], /extra_args\.0: --port is set by this service: use ports/],
    [['--served_model_name', 'x'], /--served_model_name is set by this service: use served_model_name/],
    [['-tp', '2'], /-tp is set by this service: use config\.gpu_ids/],
    [['--enable-sleep-mode'], /--enable-sleep-mode is set by this service: use sleep_mode/],
    [['--api-key=x'], /--api-key is not allowed here/],
    [['--disable-log-stats'], /--disable-log-stats is not allowed here/],
    [['--pipeline-parallel-size=2'], /not allowed here/],
    [['--max-num-seq=8'], /--max-num-seq is not allowed/],
    [['--enforce-eager=true'], /--enforce-eager takes no value/],
    [['--max-num-seqs'], /--max-num-seqs needs a value/],
    [['--max-num-seqs', '--port=1'], /--max-num-seqs needs a value.*--port is set by this service/],
    [['--enforce-eager', 'stray'], /extra_args\.1: stray is not allowed/],
    [['__proto__'], /__proto__ is not allowed/],
    [[''], /extra_args\.0/],
    [['--seed=1\0'], /extra_args\.0/],
  ])('refuses extra_args %j', (args, words) => {
    expect(faultsOf({ extra_args: args })).toMatch(words);
  });

  it.each([
    [{ model: '--trust-remote-code' }],
    [{ model: '' }],
    [{ model: 'a\nb' }],
    [{ served_model_name: '-x' }],
    [{ served_model_name: 'a\u0000b' }],
    [{ gpu_memory_utilization: 1.01 }],
    [{ dtype: 'fp8' }],
    [{ drain_seconds: -1 }],
    [{ sleep_mode: 'yes' }],
    [{ unknown: 1 }],
  ])('refuses a model %j', (entry) => {
    expect(faultsOf(entry)).toMatch(/^models\.llama/);
  });

  it('has no model that sleeps where there is no GPU', () => {
    const sleepy = { ...modelWith({ sleep_mode: true }), device: 'cpu' };
    expect(() => vllmConfig(sleepy)).toThrow('vLLM sleeps on GPUs alone');
    expect(vllmConfig({ ...sleepy, device: 'gpu' }).models.llama).toMatchObject({ sleep_mode: true });
  });

  it('has the models that it names, and mounts the caches that it names', () => {
    const { supported_models: models, mounts } = vllmConfig({
      ...modelWith({}),
      hf_cache_host_path: '/srv/hf',
      mounts: [{ host_path: '/srv/models', server_path: '/models' }],
    });
    expect(models).toEqual(['llama']);
    expect(mounts).toEqual([
      { host_path: '/srv/models', server_path: '/models', read_only: true },
      { host_path: '/srv/hf', server_path: '/root/.cache/huggingface', read_only: false },
    ]);
  });
});

describe('the default image', () => {
  it('is of the version that is provisioned for the tests, and that the page names', () => {
    const provisioned = /^VERSION=(.*)$/m.exec(readFileSync('test/real/provision/vllm.sh', 'utf8'))?.[1];
    expect(vllmConfig().image_name).toBe(`vllm/vllm-openai:v${provisioned}`);
    expect(readFileSync('docs/backends/vllm.md', 'utf8')).toContain(`with vLLM ${provisioned}`);
  });
});

describe('options of a start', () => {
  it('are by default as the entry of the model has them', () => {
    const defaults = defaultVllmOptions({
      model: 'm',
      extra_args: [],
      sleep_mode: false,
      max_model_len: 4096,
      dtype: 'half',
    });
    const complete = { max_model_len: 4096, gpu_memory_utilization: null, dtype: 'half', gpu_ids: null };
    expect(vllmOptions.parse(defaults)).toEqual(complete);
  });

  it.each([
    [{ max_model_len: 0 }],
    [{ max_model_len: '--host' }],
    [{ gpu_memory_utilization: Number.NaN }],
    [{ dtype: '--host' }],
    [{ gpu_ids: [] }],
    [{ gpu_ids: ['0'] }],
    [{ gpu_ids: [0, 1, 0] }],
    [{ gpu_ids: Array.from({ length: 65 }, (_, id) => id) }],
    [{ served_model_name: 'x' }],
  ])('are refused: %j', (changes) => {
    expect(vllmOptions.safeParse({ ...defaultVllmOptions(undefined), ...changes }).success).toBe(false);
  });
});

describe('the program', () => {
  const { models } = vllmConfig(modelWith({ extra_args: ['--seed=1'] }));
  const { llama } = models;
  if (!llama) throw new Error('no model');

  it('over several GPUs is pinned to their indices as a process', () => {
    const options = { ...defaultVllmOptions(llama), gpu_ids: [1, 2] };
    const several = placement({ gpuIds: [2, 1], options });
    const { command, env } = vllmProgram({ command: ['vllm'], device: 'gpu' }, 'process', llama, several);
    expect(command.slice(0, 3)).toEqual(['vllm', 'serve', 'meta/llama']);
    expect(command.slice(-3)).toEqual(['--tensor-parallel-size', '2', '--seed=1']);
    expect(env).toEqual({ CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: '2,1' });
  });

  it('sees no GPU on a CPU, and leaves pinning to the Engine in a container', () => {
    expect(
      vllmProgram({ command: ['vllm'], device: 'cpu' }, 'process', llama, placement()).env,
    ).toBeUndefined();
    const inContainer = vllmProgram({ command: ['vllm'], device: 'gpu' }, 'docker', llama, placement());
    expect(inContainer.entrypoint).toEqual(['vllm']);
    expect(inContainer.command.slice(0, 2)).toEqual(['serve', 'meta/llama']);
    expect(inContainer.env).toBeUndefined();
  });
});

describe('the program of a model that can sleep', () => {
  const { llama } = vllmConfig(modelWith({ sleep_mode: true })).models;
  if (!llama) throw new Error('no model');

  it('has the flag and the endpoints for it, in a container too', () => {
    const asProcess = vllmProgram({ command: ['vllm'], device: 'gpu' }, 'process', llama, placement());
    expect(asProcess.command.at(-1)).toBe('--enable-sleep-mode');
    expect(asProcess.env).toMatchObject({ VLLM_SERVER_DEV_MODE: '1', CUDA_VISIBLE_DEVICES: '2' });
    const inContainer = vllmProgram({ command: ['vllm'], device: 'gpu' }, 'docker', llama, placement());
    expect(inContainer.command.at(-1)).toBe('--enable-sleep-mode');
    expect(inContainer.env).toEqual({ VLLM_SERVER_DEV_MODE: '1' });
  });
});

describe('gpu_ids of GPUs that have moved', () => {
  const runner = new VllmRunner(vllmConfig(modelWith({})), {
    launchers: { get: noLauncher, peek: noLauncher },
    isPortTaken: () => Promise.resolve(false),
    pullTimeoutSeconds: 1,
  });
  const options = runner.defaultOptions('llama');

  it('are the indices of now; what was not said stays so', () => {
    expect(runner.optionsOn({ ...options, gpu_ids: [0, 2] }, [1, 0])).toEqual({
      ...options,
      gpu_ids: [0, 1],
    });
    expect(runner.optionsOn({ ...options, gpu_ids: [2] }, [1])).toEqual({ ...options, gpu_ids: [1] });
    expect(runner.optionsOn(options, [1])).toEqual(options);
  });
});

function noLauncher(): never {
  throw new Error('no launcher is asked');
}
