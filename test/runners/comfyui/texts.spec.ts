import type { HelpOperand, InstalledFlags } from '../../../src/runners/argparse-help.js';
import { flagFaults } from '../../../src/runners/comfyui/comfyui-flags.js';
import { comfyuiProgram, neededFiles } from '../../../src/runners/comfyui/comfyui-program.js';
import {
  comfyuiCpuOptionsSchema,
  comfyuiOptionsSchema,
} from '../../../src/runners/comfyui/comfyui-options.js';
import type { ComfyuiOptions } from '../../../src/runners/comfyui/comfyui-options.js';
import { deviceFault } from '../../../src/runners/comfyui/device-check.js';
import { ComfyuiNotConfiguredError } from '../../../src/runners/comfyui/errors.js';
import { isFinal, lastWords } from '../../../src/runners/comfyui/last-words.js';
import type { ServedPlacement } from '../../../src/runners/placement-server/served-placement.js';
import { comfyuiConfig } from './configs.js';

const MIB = 1024 * 1024;

function placement(options: ComfyuiOptions = {}): ServedPlacement<ComfyuiOptions> {
  return {
    modelName: 'chane_face',
    gpuId: 2,
    gpuIds: [2],
    gpus: [{ id: 2, uuid: 'GPU-2' }],
    options,
    port: 20_001,
    ports: new Map([['http', 20_001]]),
    settings: { bind_address: '127.0.0.1', device: 'gpu' },
    listenAddress: '127.0.0.1',
    baseUrl: 'http://127.0.0.1:20001',
  };
}

describe('what ComfyUI is launched as', () => {
  it('is main.py under its own Python, with a temporary directory of the placement', () => {
    const { command, env } = comfyuiProgram(comfyuiConfig(), placement());
    expect(command).toEqual([
      '/opt/ComfyUI/venv/bin/python',
      '/opt/ComfyUI/main.py',
      ...['--listen', '127.0.0.1', '--port', '20001', '--disable-auto-launch'],
      ...['--temp-directory', '/opt/ComfyUI/temp_chane_face_2'],
    ]);
    expect(env).toEqual({ PYTHONUNBUFFERED: '1' });
  });

  it('gets the directories and flags of its model, and those that a start asks for in their place', () => {
    const config = comfyuiConfig({
      env: { HF_HUB_OFFLINE: '1' },
      model_configs: {
        chane_face: {
          workflow_dir: '/w',
          base_dir: '/b',
          output_dir: '/o',
          input_dir: '/i',
          extra_model_paths: '/e.yaml',
          args: ['--lowvram', '--reserve-vram', '1', '--disable-all-custom-nodes'],
        },
      },
    });
    const { command, env } = comfyuiProgram(config, placement({ vram: 'high', reserve_vram: 2.5 }));
    expect(command.slice(7)).toEqual([
      ...['--base-directory', '/b', '--output-directory', '/o', '--input-directory', '/i'],
      ...['--temp-directory', '/b/temp_chane_face_2', '--extra-model-paths-config', '/e.yaml'],
      ...['--reserve-vram', '1', '--disable-all-custom-nodes', '--highvram', '--reserve-vram', '2.5'],
    ]);
    expect(env).toMatchObject({ COMFYUI_WORKFLOW_DIR: '/w', HF_HUB_OFFLINE: '1' });
    expect(neededFiles(config, 'chane_face').map(({ path }) => path)).toEqual([
      ...['/opt/ComfyUI/main.py', '/w', '/b', '/o', '/i', '/e.yaml'],
    ]);
  });

  it('is told to leave GPUs alone with device: cpu', () => {
    expect(comfyuiProgram(comfyuiConfig({ device: 'cpu' }), placement()).command).toContain('--cpu');
    expect(comfyuiProgram(comfyuiConfig(), placement()).command).not.toContain('--cpu');
  });

  it('in a container: the image of the operator, its Python, and the directories under the same paths', () => {
    const config = comfyuiConfig({
      launcher: 'docker',
      image_name: 'mine:1',
      comfyui_path: null,
      python: 'python3',
      mounts: [{ host_path: '/weights', server_path: '/models' }],
      model_configs: { chane_face: { output_dir: '/o', workflow_dir: '/w' } },
    });
    const program = comfyuiProgram(config, placement());
    expect(program.entrypoint).toEqual(['python3']);
    expect(program.command[0]).toBe('main.py');
    expect(program.command.join(' ')).toContain('--temp-directory /tmp');
    expect(program.mounts).toEqual([
      { hostPath: '/weights', serverPath: '/models', readOnly: true },
      { hostPath: '/o', serverPath: '/o', readOnly: false },
      { hostPath: '/w', serverPath: '/w', readOnly: true },
    ]);
    expect(neededFiles(config, 'chane_face').map(({ path }) => path)).toEqual(['/w', '/o']);
  });

  it.each([
    { launcher: 'process', comfyui_path: null },
    { launcher: 'docker', image_name: null },
  ])('is nothing where the configuration does not say: %j', (changes) => {
    expect(() => comfyuiProgram(comfyuiConfig(changes), placement())).toThrow(ComfyuiNotConfiguredError);
  });
});

describe('flags of an operator', () => {
  it.each([
    [['--lowvram', '--reserve-vram', '0.5', '--preview-method', 'auto', '--fast', '--verbose']],
    [['--verbose=DEBUG', '--fast', 'fp16_accumulation', '--cache-lru', '10', '--fp16-vae']],
    [['--reserve-vram=2']],
    [['--fast', 'fp16_accumulation', 'cublas_ops', '--enable-cors-header', '--lowvram', '--lowvram']],
    [['--enable-cors-header', 'https://example.com', '--fast', '--cache-lru', '5', '--cache-lru', '10']],
  ])('%j are taken', (args) => {
    expect(flagFaults(args)).toEqual([]);
  });

  it.each([
    [['--port', '1'], 0, /^--port is not for args: it follows from ports/],
    [['--listen=0.0.0.0'], 0, /^--listen is not for args/],
    [['--lowvram', '--cpu'], 1, /^--cpu is not for args: it follows from device/],
    [['--tls-keyfile', '/k'], 0, /^--tls-keyfile is not among the flags that are allowed/],
    [['--quick-test-for-ci'], 0, /not among/],
    [['; rm -rf /'], 0, /belongs to no flag/],
    [['--lowvram', 'yes'], 1, /^"yes" belongs to no flag/],
    [['--lowvram=yes'], 0, /^--lowvram takes no value/],
    [['--reserve-vram'], 0, /^--reserve-vram takes a number/],
    [['--reserve-vram', '-1'], 0, /takes a number/],
    [['--cache-lru', '1.5'], 0, /takes a whole number/],
    [['--preview-method', 'best'], 0, /takes one of none, auto/],
    [['--user-directory', '--lowvram'], 0, /takes a value/],
    [['--lowvram', '--highvram'], 1, /^--highvram does not go together with --lowvram/],
    [['--fast', 'fp16_accumulation', 'autotune'], 0, /takes nothing, or some of fp16_accumulation, fp8_/],
    [['--verbose', 'LOUD'], 0, /takes nothing, or one of DEBUG, INFO/],
    [['--fast', '-h'], 1, /^"-h" belongs to no flag/],
    [['--async-offload=4'], 0, /^--async-offload takes no value/],
    [['--constructor'], 0, /not among/],
    [['constructor'], 0, /belongs to no flag/],
  ])('%j are refused', (args, index, message) => {
    expect(flagFaults(args)[0]).toEqual({ index, message: expect.stringMatching(message) as string });
  });

  it('are refused at boot, with their place', () => {
    const bad = (args: string[], device = 'gpu'): unknown =>
      comfyuiConfig({ device, model_configs: { chane_face: { args } } });
    expect(() => bad(['--lowvram', '--port', '1'])).toThrow(/--port is not for args/);
    expect(() => bad(['--lowvram'], 'cpu')).toThrow(/--lowvram does not go together with device: cpu/);
    expect(() => bad(['--lowvram'])).not.toThrow();
  });

  it.each([
    [['--async-offload=4']],
    [['--async-offload', '4']],
    [['--fast', 'fp16_accumulation', 'cublas_ops']],
    [['--fast', 'autotune']],
    [['--enable-cors-header']],
    [['--preview-method', 'taesd2', '--reserve-vram', '-1', '--cache-lru=1e3', '--verbose', 'TRACE']],
    [['--disable-metadata', 'yes']],
    [['--cache-classic', '--cache-classic']],
  ])('%j are for the installation to judge, not for the boot', (args) => {
    expect(() => comfyuiConfig({ model_configs: { chane_face: { args } } })).not.toThrow();
  });

  it.each([
    [['yes', '--lowvram'], /yes.* belongs to no flag/],
    [['--fast fp16_accumulation'], /belongs to no flag: one list item each/],
    [['--fast=fp16_accumulation', 'cublas_ops'], /belongs to no flag/],
    [['--fast', '-h'], /belongs to no flag/],
    [['--async-offload', '4', '--cpu'], /--cpu is not for args/],
    [['--async-offload', '4', '--lis', '0.0.0.0'], /--lis is short for --listen/],
    [['--cache-lru', '5', '--cache-none'], /--cache-none does not go together with --cache-lru/],
    [['--user-directory', '/a\0b'], /text without NUL/],
  ])('%j are wrong in every version, and refused at boot', (args, message) => {
    expect(() => comfyuiConfig({ model_configs: { chane_face: { args } } })).toThrow(message);
  });

  it('are held against the installation alone where it has said what it takes', () => {
    const installed: InstalledFlags = new Map<string, HelpOperand>([
      ['--async-offload', 'optional'],
      ['--fast', 'any'],
      ['--preview-method', { oneOf: ['none', 'taesd2'] }],
      ['--verbose', { oneOf: ['INFO', 'TRACE'], optional: true }],
      ['--enable-cors-header', 'none'],
      ['--cache-lru', 'text'],
    ]);
    const messages = (...args: string[]): string[] =>
      flagFaults(args, installed).map(({ message }) => message);
    expect(messages('--async-offload', '4', '--fast', 'autotune', 'other', '--verbose')).toEqual([]);
    expect(messages('--preview-method', 'taesd2', '--verbose=TRACE', '--cache-lru', '1e3')).toEqual([]);
    expect(messages('--preview-method', 'taesd')).toEqual(['--preview-method takes one of none, taesd2']);
    expect(messages('--preview-method')).toEqual(['--preview-method takes one of none, taesd2']);
    expect(messages('--verbose', 'DEBUG')).toEqual(['--verbose takes nothing, or one of INFO, TRACE']);
    expect(messages('--enable-cors-header', '*')).toEqual([
      '"*" belongs to no flag: one list item each for a flag and its value',
    ]);
    expect(messages('--enable-cors-header=*')).toEqual(['--enable-cors-header takes no value']);
  });
});

describe('options of a start', () => {
  it.each([
    { vram: 'huge' },
    { reserve_vram: -1 },
    { reserve_vram: '1' },
    { reserve_vram: Infinity },
    { args: ['--port', '1'] },
    { preview_method: 'auto; ls' },
  ])('%j are refused', (options) => {
    expect(comfyuiOptionsSchema.safeParse(options).success).toBe(false);
  });

  it('hold nothing of video memory on the CPU', () => {
    expect(comfyuiOptionsSchema.safeParse({ vram: 'low' }).success).toBe(true);
    expect(comfyuiCpuOptionsSchema.safeParse({ vram: 'low' }).success).toBe(false);
    expect(comfyuiCpuOptionsSchema.safeParse({ preview_method: 'auto' }).success).toBe(true);
  });
});

describe('the device that ComfyUI reports', () => {
  const gpu = { id: 2, uuid: 'GPU-2', name: 'NVIDIA L4', memoryTotalMiB: 23_034 };
  const l4 = { name: 'cuda:0 NVIDIA L4 : cudaMallocAsync', type: 'cuda', vram_total: 22_478 * MIB };
  const cpu = { name: 'cpu', type: 'cpu', vram_total: 64_000 * MIB };

  it('is right', () => {
    expect(deviceFault(l4, 'gpu', gpu)).toBeUndefined();
    expect(deviceFault(l4, 'gpu', { id: 2, uuid: 'GPU-2' })).toBeUndefined();
    expect(deviceFault({ name: l4.name, type: 'cuda' }, 'gpu', gpu)).toBeUndefined();
    expect(deviceFault(cpu, 'cpu', gpu)).toBeUndefined();
    const slice = { ...l4, name: 'cuda:0 NVIDIA L4 MIG 1g.5gb', vram_total: 5000 * MIB };
    expect(deviceFault(slice, 'gpu', gpu)).toBeUndefined();
  });

  it('is another one', () => {
    expect(deviceFault(cpu, 'gpu', gpu)?.message).toMatch(/was to run on GPU 2, and says .* "cpu"/);
    expect(deviceFault(l4, 'cpu', gpu)?.message).toMatch(/was to run on the CPU/);
    const other = { ...l4, name: 'cuda:0 NVIDIA T4 : native' };
    expect(deviceFault(other, 'gpu', gpu)?.message).toMatch(/which is no NVIDIA L4/);
    const small = { ...l4, vram_total: 12_000 * MIB };
    expect(deviceFault(small, 'gpu', gpu)?.message).toMatch(/12000 MiB, where 23034 MiB/);
  });
});

describe('the last words of ComfyUI', () => {
  const traceback = [
    'Traceback (most recent call last):',
    '  File "/opt/ComfyUI/main.py", line 131, in <module>',
    '    import server',
  ];

  it('are the exception of its traceback, also where its message has more lines', () => {
    expect(lastWords(['Device: cpu', ...traceback, "ModuleNotFoundError: No module named 'requests'"])).toBe(
      "ModuleNotFoundError: No module named 'requests'",
    );
    expect(lastWords([...traceback.slice(1), 'RuntimeError: Found no NVIDIA driver', 'More of it.'])).toBe(
      'RuntimeError: Found no NVIDIA driver',
    );
    const cuda = ['RuntimeError: CUDA error: out of memory', 'CUDA kernel errors might be reported later'];
    expect(lastWords([...traceback, ...cuda])).toBe('RuntimeError: CUDA error: out of memory');
  });

  it('are what argparse has against its flags', () => {
    const usage = ['usage: main.py [-h]', 'main.py: error: unrecognized arguments: --fast-vae'];
    expect(lastWords(usage)).toBe('main.py: error: unrecognized arguments: --fast-vae');
  });

  it('are its own where a package lacks that it looks for itself', () => {
    const frame = '********** ERROR ***********';
    const frontend = 'comfyui-frontend-package is not installed.';
    const text = [frame, '', frontend, '', 'Please install the updated requirements.txt', '', frame];
    expect(lastWords(text)).toBe(frontend);
    expect(lastWords([...traceback, 'ValueError: of a prestart script', ...text])).toBe(frontend);
    const sage =
      'To use the `--use-sage-attention` feature, the `sageattention` package must be installed first.';
    expect(lastWords(['', '', sage, 'command:', '\tpython -m pip install sageattention'])).toBe(sage);
    // Without its templates it goes on.
    expect(lastWords([frame, '', 'comfyui-workflow-templates is not installed.', frame])).toBeUndefined();
  });

  it.each([
    ['comfyui-frontend-package is not installed.', true],
    ['To use the `--use-flash-attention` feature, the `flash-attn` package must be installed first.', true],
    ["ModuleNotFoundError: No module named 'torchsde'", true],
    ['ImportError: libGL.so.1: cannot open shared object file: No such file or directory', true],
    ['main.py: error: unrecognized arguments: --fast-vae', true],
    ["main.py: error: argument --cache-lru: invalid int value: 'ten'", true],
    ['AssertionError: Torch not compiled with CUDA enabled', true],
    ['ImportError: libcudnn.so.9: failed to map segment: Cannot allocate memory', false],
    ['torch.OutOfMemoryError: CUDA out of memory.', false],
    ['RuntimeError: Found no NVIDIA driver on your system.', false],
    ['ImportError: libcuda.so.1: cannot open shared object file: No such file or directory', false],
    ["OSError: [Errno 98] error while attempting to bind on address ('127.0.0.1', 18400)", false],
  ])('%s: final is %s', (words, final) => {
    expect(isFinal(words)).toBe(final);
  });

  it('are not those of a custom node or a prompt that failed long before', () => {
    const node = [...traceback, "ModuleNotFoundError: No module named 'cv2'"];
    expect(lastWords([...node, 'Cannot import /opt/custom_nodes/a module for custom nodes'])).toBeUndefined();
    expect(lastWords([...traceback, 'ValueError: bad', 'Prompt executed in 0.10 seconds'])).toBeUndefined();
    expect(lastWords([])).toBeUndefined();
    expect(lastWords(['Traceback (most recent call last):'])).toBeUndefined();
  });
});
