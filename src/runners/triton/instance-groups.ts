import { type Message, parseTextFormat } from './text-format.js';
import type { TritonModelConfig } from './triton-client.js';
import type { InstanceKind } from './triton-section.js';

export type InstanceGroups = Pick<TritonModelConfig, 'instance_group'>;

/** What Triton calls the device of an instance group. Source: model_config.proto, ModelInstanceGroup.Kind. */
export type GroupKind = 'KIND_GPU' | 'KIND_CPU' | 'KIND_MODEL';

/** Where the instances of one placement run: a GPU by the index the server sees, or elsewhere. */
export interface InstancePlace {
  /** Number of the placement. */
  readonly gpuId: number;
  /** What CUDA in the server calls it; `null`: the group names no GPU. */
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
export function instanceGroupText(
  places: readonly InstancePlace[],
  count: number,
  kindOffGpu: Exclude<GroupKind, 'KIND_GPU'> = 'KIND_CPU',
): string {
  const groups = places.map(({ gpuId, visibleIndex }) =>
    visibleIndex === null
      ? `  { name: "${groupName(gpuId)}" count: ${count} kind: ${kindOffGpu} }`
      : `  { name: "${groupName(gpuId)}" count: ${count} kind: KIND_GPU gpus: [ ${visibleIndex} ] }`,
  );
  return `instance_group [\n${groups.join(',\n')}\n]\n`;
}

/**
 * The placements of a model whose instances Triton chooses itself: a comment, so that they are found again whatever
 * becomes of the state.
 */
export function placesComment(places: readonly InstancePlace[]): string {
  return places.map(({ gpuId }) => `# placement { name: "${groupName(gpuId)}" count: 1 }\n`).join('');
}

const PLACEMENT = /^# placement \{ name: "(gpu_\d+)" count: 1 \}$/;

/**
 * Of a `config.pbtxt` that `instanceGroupText` or `placesComment` has written: comments count at its end alone, where they
 * were written. @throws TextFormatError
 */
export function groupsInText(text: string): InstanceGroups {
  const lines = text.trimEnd().split('\n');
  const last = lines.findLastIndex((line) => !PLACEMENT.test(line));
  const named = lines.slice(last + 1).flatMap((line) => PLACEMENT.exec(line)?.[1] ?? []);
  if (named.length > 0)
    return { instance_group: named.map((name) => ({ name, count: 1, kind: '', gpus: [] })) };
  const groups = parseTextFormat(text).flatMap(({ name, value }) =>
    name === 'instance_group' && value.kind === 'message' ? [groupOf(value.message)] : [],
  );
  return { instance_group: groups };
}

function groupOf(message: Message): InstanceGroups['instance_group'][number] {
  const values = (field: string) => message.flatMap(({ name, value }) => (name === field ? [value] : []));
  const text = (field: string): string => {
    const value = values(field).at(-1);
    return value && value.kind !== 'message' ? value.text : '';
  };
  const gpus = values('gpus').flatMap((value) => (value.kind === 'number' ? [value.value] : []));
  return { name: text('name'), count: Number(text('count')), kind: text('kind'), gpus };
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

/** The placement is served with this many instances of this kind, and there, by Triton's word of its configuration. */
export function serves(
  config: InstanceGroups,
  { gpuId, visibleIndex }: InstancePlace,
  count: number,
  kind: GroupKind,
): boolean {
  return config.instance_group.some(
    (group) =>
      group.name === groupName(gpuId) &&
      group.count === count &&
      (group.kind === '' || group.kind === kind) &&
      (visibleIndex === null || group.gpus.length === 0 || group.gpus.includes(visibleIndex)),
  );
}

/** The placement has instances, however many. */
export function hasGroup(config: InstanceGroups, gpuId: number): boolean {
  return config.instance_group.some((group) => group.name === groupName(gpuId));
}

/** Of which kind a model is that is placed by its own configuration; without a group of ours its instances are Triton's choice. */
export function kindIn({ instance_group: groups }: InstanceGroups): InstanceKind {
  const ours = groups.find(({ name }) => /^gpu_\d+$/.test(name));
  if (!ours) return 'auto';
  const kinds: Partial<Record<string, InstanceKind>> = { KIND_CPU: 'cpu', KIND_MODEL: 'model' };
  return kinds[ours.kind] ?? 'gpu';
}
