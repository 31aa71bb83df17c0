import type { TritonClient } from './triton-client.js';

export interface LoadedModel {
  readonly name: string;
  readonly state: 'READY' | 'LOADING';
}

/** Models that a Triton serves, or is about to. One that is loading in any version is loading. */
export async function loadedModels(client: TritonClient, signal: AbortSignal): Promise<LoadedModel[]> {
  const byName = new Map<string, LoadedModel['state']>();
  for (const { name, state } of await client.index(signal)) {
    if (state !== 'READY' && state !== 'LOADING') continue;
    if (byName.get(name) !== 'LOADING') byName.set(name, state);
  }
  return [...byName].map(([name, state]) => ({ name, state }));
}
