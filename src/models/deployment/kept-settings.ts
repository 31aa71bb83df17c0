import type { KeptSettings } from '../../state/desired-state.js';

/** The settings of a model of which the configuration says nothing. */
export const NOTHING_KEPT: KeptSettings = {
  gpu_memory_mb: null,
  gpu_policy: 'shared',
  off_gpu: false,
  drain_seconds: 0,
};

export function saysSomething(settings: KeptSettings): boolean {
  return (Object.keys(NOTHING_KEPT) as (keyof KeptSettings)[]).some(
    (key) => settings[key] !== NOTHING_KEPT[key],
  );
}
