import { describe, expect, it } from '@jest/globals';
import { containerOptions } from '../../src/launchers/docker/container-options.js';
import { spec } from './docker-launcher-rig.js';

describe('the environment of a container', () => {
  const image = [
    'PATH',
    'CUDA_VERSION',
    'CUDA_VISIBLE_DEVICES',
    'NVIDIA_VISIBLE_DEVICES',
    'VLLM_PORT',
    'HF_HOME',
  ];

  it("has nothing of its image that would decide in this service's place", () => {
    const { Env } = containerOptions(
      { ...spec, withheld: ['VLLM_PORT', 'VLLM_HOST_IP'] },
      'x',
      image,
      'owner',
    );
    // A name without "=" takes the variable out; the Engine itself replaces that of NVIDIA's runtime.
    expect(Env).toEqual(['CUDA_DEVICE_ORDER=PCI_BUS_ID', 'CUDA_VISIBLE_DEVICES', 'VLLM_PORT']);
  });

  it('has what the spec says of the same', () => {
    const env = { CUDA_VISIBLE_DEVICES: '1', VLLM_PORT: '2' };
    const { Env } = containerOptions({ ...spec, env, withheld: ['VLLM_PORT'] }, 'x', image, 'owner');
    expect(Env).toEqual(['CUDA_DEVICE_ORDER=PCI_BUS_ID', 'CUDA_VISIBLE_DEVICES=1', 'VLLM_PORT=2']);
  });
});
