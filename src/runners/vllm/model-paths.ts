import { resolve } from 'node:path';
import { type HostPath, onHost } from '../../launchers/host-paths.js';
import type { Launcher } from '../../launchers/launcher.js';
import type { VllmConfig, VllmModel } from './vllm-section.js';

/** No id of the hub begins so. Of `~`, vLLM makes no home directory. */
const PATH = /^(?:\/|\.\.?\/|~)/;
/** Flags whose value may be a path. */
const FLAGS = ['--tokenizer', '--chat-template'];

const CACHE_KEYS = ['hf_cache_host_path', 'vllm_cache_host_path'] as const;
type CacheKey = (typeof CACHE_KEYS)[number];

/**
 * What the section and the entry of a model name by a path, where the host has it. Of a container, what is in no mount may be in the
 * image; nobody can tell before it runs.
 */
export function modelPaths(
  { mounts, ...section }: Pick<VllmConfig, 'mounts' | CacheKey>,
  launcher: Launcher['kind'],
  model: VllmModel,
  modelName: string,
): HostPath[] {
  const entry = `runners.vllm.models.${modelName}`;
  const inContainer = mounts.map((mount) => ({ hostPath: mount.host_path, serverPath: mount.server_path }));
  const caches = launcher === 'docker' ? CACHE_KEYS.flatMap((key) => cachePath(key, section[key])) : [];
  const named = [{ setting: `${entry}.model`, path: model.model }, ...flagPaths(model.extra_args, entry)]
    .filter(({ path }) => PATH.test(path))
    .flatMap(({ setting, path }) => {
      if (path.startsWith('~')) return [{ setting, path }];
      if (launcher === 'process') return [{ setting, path: resolve(path) }];
      const found = path.startsWith('/') ? onHost(path, inContainer) : undefined;
      return found === undefined ? [] : [{ setting, path: found }];
    });
  return [...caches, ...named];
}

function cachePath(key: CacheKey, path: string | null): HostPath[] {
  return path === null ? [] : [{ setting: `runners.vllm.${key}`, path }];
}

function flagPaths(args: readonly string[], entry: string): HostPath[] {
  return args.flatMap((argument, index) => {
    const [flag = '', ...rest] = argument.split('=');
    if (!FLAGS.includes(flag)) return [];
    const isOneItem = rest.length > 0;
    const path = isOneItem ? rest.join('=') : (args[index + 1] ?? '');
    return [{ setting: `${entry}.extra_args.${isOneItem ? index : index + 1}`, path }];
  });
}
