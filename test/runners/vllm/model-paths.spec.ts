import { modelPaths } from '../../../src/runners/vllm/model-paths.js';
import type { HostPath } from '../../../src/launchers/host-paths.js';
import { vllmConfig } from './rig.js';

const CHANGES = {
  mounts: [
    { host_path: '/data', server_path: '/models' },
    { host_path: '/fast', server_path: '/models/fast' },
  ],
  hf_cache_host_path: '/cache/hf',
};

function pathsOf(
  launcher: 'docker' | 'process',
  model: string,
  extra_args: readonly string[] = [],
): readonly HostPath[] {
  const config = vllmConfig({ ...CHANGES, models: { m: { model, extra_args } } });
  const entry = config.models.m;
  if (!entry) throw new Error('no model');
  return modelPaths(config, launcher, entry, 'm').filter(({ path }) => path !== '/cache/hf');
}

describe('the paths that a model of vLLM names', () => {
  it.each([
    ['process', '/data/llama', '/data/llama'],
    ['process', './llama', `${process.cwd()}/llama`],
    ['process', '~/llama', '~/llama'],
    ['process', 'Qwen/Qwen3-8B', undefined],
    ['docker', '/models/llama', '/data/llama'],
    ['docker', '/models/fast/llama', '/fast/llama'],
    ['docker', '/models/../etc', undefined],
    ['docker', '/modelsx/llama', undefined],
    ['docker', '/in/the/image', undefined],
    ['docker', './llama', undefined],
    ['docker', '~/llama', '~/llama'],
    ['docker', 'Qwen/Qwen3-8B', undefined],
  ] as const)('%s, %s: %s', (launcher, model, path) => {
    const setting = 'runners.vllm.models.m.model';
    expect(pathsOf(launcher, model)).toEqual(path === undefined ? [] : [{ setting, path }]);
  });

  it('are those of flags, too', () => {
    const args = ['--tokenizer=/data/t', '--chat-template', '/data/c.jinja', '--chat-template={{ x }}'];
    expect(pathsOf('process', 'a/b', args)).toEqual([
      { setting: 'runners.vllm.models.m.extra_args.0', path: '/data/t' },
      { setting: 'runners.vllm.models.m.extra_args.2', path: '/data/c.jinja' },
    ]);
  });

  it.each([
    [['--generation-config', '/no/gc'], ['1=/no/gc']],
    [['--generation-config=vllm'], []],
    [['--lora-modules', 'a=/no/a'], ['1=/no/a']],
    [['--lora-modules', 'b=org/b'], []],
    [['--lora-modules', '{"name": "c", "path": "/no/c"}'], ['1=/no/c']],
    [['--lora-modules={"name": "c", "path": "/no/c=d"}'], ['0=/no/c=d']],
    [['--lora-modules', 'a=./no/a'], [`1=${process.cwd()}/no/a`]],
    [['--lora-modules', '{"name": 1'], []],
    [['--speculative-config', '{"model": "/no/spec", "num_speculative_tokens": 3}'], ['1=/no/spec']],
    [['--speculative-config={"method": "ngram"}'], []],
    [['--speculative-config', '{"model": "org/spec"}'], []],
  ])('are those in the values of flags: %j', (args, paths) => {
    expect(pathsOf('process', 'a/b', args)).toEqual(
      paths.map((each) => {
        const [index = '', ...path] = each.split('=');
        return { setting: `runners.vllm.models.m.extra_args.${index}`, path: path.join('=') };
      }),
    );
  });

  it('and the caches of a container', () => {
    const config = vllmConfig({ ...CHANGES, models: { m: { model: 'a/b' } } });
    const entry = config.models.m;
    const paths = entry && modelPaths(config, 'docker', entry, 'm');
    expect(paths).toEqual([{ setting: 'runners.vllm.hf_cache_host_path', path: '/cache/hf' }]);
  });
});
