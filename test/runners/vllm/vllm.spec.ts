import { readFileSync } from 'node:fs';
import { explainExit, isFinal } from '../../../src/runners/vllm/explain-exit.js';
import { defaultVllmOptions, vllmOptions } from '../../../src/runners/vllm/vllm-options.js';
import { vllmProgram } from '../../../src/runners/vllm/vllm-program.js';
import type { ServedPlacement } from '../../../src/runners/placement-server/served-placement.js';
import type { VllmOptions } from '../../../src/runners/vllm/vllm-options.js';
import { vllmSection } from '../../../src/runners/vllm/vllm-section.js';
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

describe('why vLLM ended', () => {
  it('is what the engine says, not that it failed', () => {
    const lines = [
      '(APIServer pid=1) WARNING 11-25 08:32:51 [system_utils.py:255] such as `OSError: [Errno 24] Too many`',
      '(EngineCore pid=2) ERROR 11-25 08:33:15 [core.py:1510] Traceback (most recent call last):',
      '(EngineCore pid=2) ERROR 11-25 08:33:15 [core.py:1510] ValueError: no room: 3.1 GiB',
      '(APIServer pid=1) Traceback (most recent call last):',
      '(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.',
      "  warnings.warn('resource_tracker: There appear to be %d '",
    ];
    expect(explainExit(lines)).toBe('ValueError: no room: 3.1 GiB');
    expect(explainExit(lines.slice(3))).toContain('Engine core initialization failed');
  });

  it('goes on where the error does', () => {
    const lines = [
      'pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig',
      '  Value error, User-specified max_model_len (100000) is greater than 256',
      '    For further information visit https://errors.pydantic.dev/2.14/v/value_error',
    ];
    expect(explainExit(lines)).toMatch(
      /ValidationError: 1 validation error for ModelConfig Value error, User-/,
    );
  });

  it.each([
    [
      [
        '(APIServer pid=1) OSError: You are trying to access a gated repo.',
        'Make sure to have access to it at https://huggingface.co/org/gated.',
        '401 Client Error. (Request ID: Root=1-abc)',
      ],
      /gated repo\. Make sure to have access to it at https:\/\/huggingface\.co\/org\/gated\.$/,
    ],
    [
      [
        'huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. (Request ID: Root=1-abc)',
        '',
        'Repository Not Found for url: https://huggingface.co/api/models/org/nosuch.',
      ],
      /404 Client Error\. .* Repository Not Found for url: \S+org\/nosuch\.$/,
    ],
    [
      [
        'OSError: There was a specific connection error when trying to load org/m:',
        "Client error '401 Unauthorized' for url 'https://huggingface.co/org/m/resolve/main/config.json'",
        'For more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/401',
      ],
      /load org\/m: Client error '401 Unauthorized' for url/,
    ],
  ])('goes on where huggingface_hub does', (lines, words) => {
    const cause = explainExit(lines) ?? '';
    expect(cause).toMatch(words);
    expect(isFinal(cause)).toBe(true);
  });

  it('is what argparse has against the flags', () => {
    const lines = [
      'usage: vllm serve [model_tag] [options]',
      "vllm serve: error: argument --max-num-seqs: invalid int value: 'x'",
    ];
    expect(explainExit(lines)).toBe(lines[1]);
  });

  it('is not what it only warned of', () => {
    const warned =
      "(APIServer pid=1) WARNING 11-25 08:32:51 [x.py:2] ModuleNotFoundError: No module named 'y'";
    const last = '(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.';
    expect(explainExit([warned, last])).toMatch(/^RuntimeError: Engine core initialization failed/);
  });

  it.each([
    ['vllm: error: unrecognized arguments: --no-such-flag', true],
    ["vllm serve: error: argument --max-num-seqs: invalid int value: 'x'", true],
    ["ModuleNotFoundError: No module named 'vllm._C'", true],
    [
      'pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value error, User-specified max_model_len (100000) is greater than the derived max_model_len (256)',
      true,
    ],
    [
      'pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig Value error, Total number of attention heads (2) must be divisible by tensor parallel size (3).',
      true,
    ],
    [
      'pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value error, Unknown quantization method: nonsense.',
      true,
    ],
    [
      "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/data/models/tinny'. Use `repo_type` argument if needed.",
      true,
    ],
    [
      "OSError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/data/models/tinny'. Use `repo_type` argument if needed.",
      true,
    ],
    [
      "OSError: org/nosuch is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
      true,
    ],
    [
      'OSError: You are trying to access a gated repo. Make sure to have access to it at https://huggingface.co/org/gated.',
      true,
    ],
    [
      "OSError: There was a specific connection error when trying to load org/badtoken: Client error '401 Unauthorized' for url 'https://huggingface.co/org/badtoken/resolve/main/config.json'",
      true,
    ],
    [
      'huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified revision on the local disk and outgoing traffic has been disabled.',
      true,
    ],
    [
      'huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-abc) Cannot access gated repo for url https://huggingface.co/org/gated.',
      true,
    ],
    [
      "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value error, Invalid repository ID or local directory specified: '/models/empty'.",
      true,
    ],
    ["OSError: It looks like the config file at '/m/config.json' is not a valid JSON file.", true],
    ['RuntimeError: Cannot find any model weights with `/m`', true],
    ["ValueError: Couldn't instantiate the backend tokenizer from one of:", true],
    ["ValueError: VLLM_PORT 'tcp://10.0.0.1:8000' appears to be a URI. This may be caused by", true],
    ["ValueError: VLLM_PORT 'eighty' must be a valid integer", true],
    ["ValueError: invalid literal for int() with base 10: 'tcp://10.0.0.1:8000'", true],
    ["PermissionError: [Errno 13] Permission denied: '/data/models/x/config.json'", true],
    [
      'OSError: PermissionError at /c when downloading org/m. Common causes: 1) another user is downloading the same model (please wait)',
      false,
    ],
    [
      'huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub and we cannot find the requested files in the local cache.',
      false,
    ],
    [
      'huggingface_hub.errors.HfHubHTTPError: 429 Too Many Requests: you have reached your rate limit.',
      false,
    ],
    ['torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.', false],
    ['ValueError: Free memory on device cuda:0 (3.1/23.5 GiB) on startup is less than desired', false],
    ['ValueError: No available memory for the cache blocks.', false],
    ["OSError: [Errno 98] Address already in use: ('127.0.0.1', 18600)", false],
    ["OSError: We couldn't connect to 'https://huggingface.co' to load the files", false],
    ['RuntimeError: Engine core initialization failed. See root cause above.', false],
    ['ImportError: libfoo.so: failed to map segment: Cannot allocate memory', false],
  ])('%s: final is %s', (cause, final) => {
    expect(isFinal(cause)).toBe(final);
  });

  it('is unknown without an error, and never long', () => {
    expect(explainExit([])).toBeUndefined();
    expect(explainExit(['INFO: all is well', 'Terminated'])).toBeUndefined();
    expect(explainExit([`ValueError: ${'x'.repeat(100_000)}`])?.length).toBeLessThan(1000);
  });
});
