import { createHash } from 'node:crypto';
import { canonicalJson } from '../common/canonical-json.js';
import type { Launcher, LaunchSpec, ServerInfo } from '../launchers/launcher.js';
import { type Aspect, ASPECTS } from './aspects.js';
import { visibleIn, visibleLabel, type VisibleGpus } from './visible-gpus.js';

const LABEL = 'model-inference-client.launch';
/** Enough to tell two configurations apart, and too little to tell a secret by. */
const HASH_LENGTH = 8;

/**
 * The launch, with labels that tell later what the server sees and what it was launched as.
 * @param configured of its command, what the configuration says: that alone is compared later
 */
export function labelledLaunch(
  spec: LaunchSpec,
  visible: VisibleGpus,
  launcher: Launcher['kind'],
  configured = spec.command,
): LaunchSpec {
  const compared = { ...spec, command: configured };
  const hashes = ASPECTS.map((aspect) => `${aspect}=${hashOf(aspect, compared, launcher)}`);
  const labels = { ...spec.labels, ...visibleLabel(visible), [LABEL]: hashes.join(',') };
  return { ...spec, labels };
}

/**
 * Aspects in which the server would be launched otherwise by now.
 * @param now as it would be launched, out of `labelledLaunch`
 * @returns none where its labels do not tell: an earlier version launched it
 */
export function outdatedAspects(labels: ServerInfo['labels'], now: LaunchSpec): readonly Aspect[] {
  const before = hashesIn(labels);
  const after = hashesIn(now.labels);
  const differing = ASPECTS.filter(
    (aspect) => before.has(aspect) && before.get(aspect) !== after.get(aspect),
  );
  // What it sees counts, not how that was written.
  return differing.filter((aspect) => aspect !== 'gpus' || !seeTheSame(labels, now.labels));
}

function seeTheSame(a: ServerInfo['labels'], b: ServerInfo['labels']): boolean {
  return String(visibleIn(a)) === String(visibleIn(b));
}

function hashesIn(labels: ServerInfo['labels']): ReadonlyMap<string, string> {
  const entries = (labels[LABEL] ?? '').split(',').map((entry) => entry.split('='));
  return new Map(entries.flatMap(([aspect = '', hash]) => (hash === undefined ? [] : [[aspect, hash]])));
}

/** What a launcher has no notion of counts for nothing. */
function hashOf(aspect: Aspect, spec: LaunchSpec, launcher: Launcher['kind']): string {
  const isContainer = launcher === 'docker';
  const { image, entrypoint, command, mounts, bindAddress, shmSizeBytes, memoryBytes, ulimits } = spec;
  const values: Record<Aspect, unknown> = {
    gpus: spec.gpus,
    image: isContainer && image,
    env: spec.env,
    args: { command, ...(isContainer && { entrypoint, mounts, bindAddress }) },
    limits: isContainer && { shmSizeBytes, memoryBytes, ulimits },
  };
  const text = canonicalJson({ value: values[aspect] });
  return createHash('sha256').update(text).digest('hex').slice(0, HASH_LENGTH);
}
