import { describe, expect, it } from '@jest/globals';
import { flagsOfHelp } from '../../src/runners/argparse-help.js';

/** As Python 3.11 prints it in 80 columns. */
const COMFYUI = `
[prestart] a line of a custom node
usage: main.py [-h] [--listen [IP]] [--port PORT]
               [--extra-model-paths-config PATH [PATH ...]]
               [--cuda-malloc | --disable-cuda-malloc]
               [--preview-method [none,auto,latent2rgb,taesd]]
               [--gpu-only | --lowvram | --cpu] [--fast [FAST ...]]

options:
  -h, --help            show this help message and exit
  --listen [IP]         Specify the IP address to listen on (default:
                        127.0.0.1). If --listen is provided without an
                        argument, it defaults to 0.0.0.0,::
  --port PORT           Set the listen port.
  --extra-model-paths-config PATH [PATH ...]
                        Load one or more files. Overrides
                        --base-directory.
  --cuda-malloc         Enable cudaMallocAsync.
  --disable-cuda-malloc
                        Disable cudaMallocAsync.
  --fp8_e8m0fnu-unet    Store unet weights in fp8_e8m0fnu.
  --preview-method [none,auto,latent2rgb,taesd]
                        Default preview method for sampler nodes.
  --gpu-only            Store and run everything on the GPU.
  --lowvram             Split the unet in parts to use less vram.
  --cpu                 To use the CPU for everything (slow).
  --fast [FAST ...]     Enable some untested optimizations.
`.split('\n');

describe('the flags in a help text', () => {
  it('are told with what follows each', () => {
    expect(Object.fromEntries(flagsOfHelp(COMFYUI))).toEqual({
      '--help': 'none',
      '--listen': 'optional',
      '--port': 'text',
      '--extra-model-paths-config': 'any',
      '--cuda-malloc': 'none',
      '--disable-cuda-malloc': 'none',
      '--fp8_e8m0fnu-unet': 'none',
      '--preview-method': { oneOf: ['none', 'auto', 'latent2rgb', 'taesd'] },
      '--gpu-only': 'none',
      '--lowvram': 'none',
      '--cpu': 'none',
      '--fast': 'any',
    });
  });

  it('are told by the usage alone, too', () => {
    const usage = COMFYUI.slice(0, COMFYUI.indexOf('options:'));
    expect(Object.fromEntries(flagsOfHelp(usage))).toMatchObject({
      '--listen': 'optional',
      '--port': 'text',
      '--extra-model-paths-config': 'any',
      '--disable-cuda-malloc': 'none',
      '--preview-method': { oneOf: ['none', 'auto', 'latent2rgb', 'taesd'] },
      '--cpu': 'none',
      '--fast': 'any',
    });
    expect(flagsOfHelp(usage).has('--base-directory')).toBe(false);
  });

  it('have their operand in common where it stands once, or with each name', () => {
    const lines = [
      'usage: x',
      '',
      'options:',
      '  --nnodes NNODES, -n NNODES',
      '  -l, --level, --rank LEVEL  Of it.',
    ];
    expect(Object.fromEntries(flagsOfHelp(lines))).toEqual({
      '--nnodes': 'text',
      '--level': 'text',
      '--rank': 'text',
    });
  });

  it('have the words that they take', () => {
    const operands = ['{md5,sha1}', '[{DEBUG,INFO}]', '[{a,b} ...]', '[ORIGIN]', '[A,B]', 'WIDTH HEIGHT'];
    const named = operands.map((operand, index) => `--flag-${index} ${operand}`);
    const expected = {
      '--flag-0': { oneOf: ['md5', 'sha1'] },
      '--flag-1': { oneOf: ['DEBUG', 'INFO'], optional: true },
      '--flag-2': 'any',
      '--flag-3': 'optional',
      '--flag-4': 'optional',
      '--flag-5': 'any',
    };
    const usage = `usage: x ${named.map((each) => `[${each}]`).join(' ')}`;
    expect(Object.fromEntries(flagsOfHelp([usage]))).toEqual(expected);
    const listed = named.map((each) => `  ${each}  Of it.`);
    expect(Object.fromEntries(flagsOfHelp(['usage: x', '', ...listed]))).toEqual(expected);
  });

  it('are none in any other text', () => {
    expect(flagsOfHelp([]).size).toBe(0);
    expect(flagsOfHelp(['Traceback (most recent call last):', '  --port is unknown']).size).toBe(0);
  });
});
