import type { TritonModelConfig } from './triton-client.js';

export type InstanceGroups = Pick<TritonModelConfig, 'instance_group'>;

/** Where the instances of one placement run: a GPU by the index the server sees, or the CPU. */
export interface InstancePlace {
  /** Number of the placement. */
  readonly gpuId: number;
  /** What CUDA in the server calls it; `null`: instances on the CPU. */
  readonly visibleIndex: number | null;
}

/** The name that ties an instance group to its placement, whatever index its server knows the GPU by. */
function groupName(gpuId: number): string {
  return `gpu_${gpuId}`;
}

/**
 * The `instance_group` of a model's `config.pbtxt`: one group per placement.
 * Source: Triton's model_config.proto, ModelInstanceGroup; `count` is per GPU.
 */
export function instanceGroupText(places: readonly InstancePlace[], count: number): string {
  const groups = places.map(({ gpuId, visibleIndex }) =>
    visibleIndex === null
      ? `  { name: "${groupName(gpuId)}" count: ${count} kind: KIND_CPU }`
      : `  { name: "${groupName(gpuId)}" count: ${count} kind: KIND_GPU gpus: [ ${visibleIndex} ] }`,
  );
  return `instance_group [\n${groups.join(',\n')}\n]\n`;
}

/** Of a `config.pbtxt` that `instanceGroupText` has written. */
export function groupsInText(text: string): InstanceGroups {
  const groups = [...text.matchAll(/\{ name: "(gpu_\d+)" count: (\d+) kind: \w+ (?:gpus: \[ (\d+) \] )?/g)];
  return {
    instance_group: groups.map(([, name = '', count, gpu]) => ({
      name,
      count: Number(count),
      gpus: gpu === undefined ? [] : [Number(gpu)],
    })),
  };
}

/** Where a model is placed, by its own configuration. */
export interface FoundPlaces {
  /** Numbers of the placements, ascending, each with what its server calls the GPU; `null`: none, or it is not told. */
  readonly places: readonly InstancePlace[];
  /** Instances on each. */
  readonly count: number;
}

/** `undefined`: on none that we know of. */
export function placesOf(config: InstanceGroups): FoundPlaces | undefined {
  const found = new Map<number, number | null>();
  const counts: number[] = [];
  for (const { name, count, gpus } of config.instance_group) {
    const gpuId = /^gpu_(\d+)$/.exec(name)?.[1];
    if (gpuId === undefined) continue;
    found.set(Number(gpuId), gpus[0] ?? null);
    counts.push(count);
  }
  const [count] = counts;
  if (count === undefined) return undefined;
  const places = [...found].map(([gpuId, visibleIndex]): InstancePlace => ({ gpuId, visibleIndex }));
  return { places: places.sort((a, b) => a.gpuId - b.gpuId), count };
}

/** The placement is served with this many instances, and there, by what Triton says of its own configuration. */
export function serves(
  config: InstanceGroups,
  { gpuId, visibleIndex }: InstancePlace,
  count: number,
): boolean {
  return config.instance_group.some(
    ({ name, count: has, gpus }) =>
      name === groupName(gpuId) &&
      has === count &&
      (visibleIndex === null || gpus.length === 0 || gpus.includes(visibleIndex)),
  );
}

/** The placement has instances, however many. */
export function hasGroup(config: InstanceGroups, gpuId: number): boolean {
  return config.instance_group.some((group) => group.name === groupName(gpuId));
}
