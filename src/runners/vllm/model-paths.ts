import { resolve } from 'node:path';
import { type HostPath, onHost } from '../../launchers/host-paths.js';
import type { Launcher } from '../../launchers/launcher.js';
import { itemsOf, programPaths } from '../program-paths.js';
import { flagPaths } from './flag-paths.js';
import { VLLM_COMMAND_KEY } from './vllm-program.js';
import type { VllmConfig, VllmModel } from './vllm-section.js';

/** No id of the hub begins so. Of `~`, vLLM makes no home directory. */
const PATH = /^(?:\/|\.\.?\/|~)/;

const CACHE_KEYS = ['hf_cache_host_path', 'vllm_cache_host_path'] as const;
type CacheKey = (typeof CACHE_KEYS)[number];

/**
 * What the section and the entry of a model name by a path, where the host has it. Of a container, what is in no mount may be in the
 * image; nobody can tell before it runs.
 */
export function modelPaths(
  { command, mounts, ...section }: Pick<VllmConfig, 'command' | 'mounts' | CacheKey>,
  launcher: Launcher['kind'],
  model: VllmModel,
  modelName: string,
): HostPath[] {
  const entry = `runners.vllm.models.${modelName}`;
  const inContainer = mounts.map((mount) => ({ hostPath: mount.host_path, serverPath: mount.server_path }));
  const caches = launcher === 'docker' ? CACHE_KEYS.flatMap((key) => cachePath(key, section[key])) : [];
  const named = [
    { setting: `${entry}.model`, path: model.model },
    ...flagPaths(model.extra_args, `${entry}.extra_args`),
  ]
    .filter(({ path }) => PATH.test(path))
    .flatMap(({ setting, path }) => {
      if (path.startsWith('~')) return [{ setting, path }];
      if (launcher === 'process') return [{ setting, path: resolve(path) }];
      const found = path.startsWith('/') ? onHost(path, inContainer) : undefined;
      return found === undefined ? [] : [{ setting, path: found }];
    });
  const program = launcher === 'process' ? programPaths(itemsOf(command, VLLM_COMMAND_KEY)) : [];
  return [...caches, ...program, ...named];
}

function cachePath(key: CacheKey, path: string | null): HostPath[] {
  return path === null ? [] : [{ setting: `runners.vllm.${key}`, path }];
}
