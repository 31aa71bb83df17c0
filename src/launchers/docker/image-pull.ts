import * as z from 'zod';
import { ImageMissingError, type LaunchSpec, LaunchFailedError, type ProgressListener } from '../launcher.js';
import { messageOf } from '../../common/errors.js';
import type { Engine, EngineCall } from './engine.js';
import { engineWords, statusOf } from './engine-errors.js';
import { jsonLines } from './json-lines.js';

const pullEvent = z.object({
  id: z.string().optional(),
  status: z.string().optional(),
  error: z.string().optional(),
  progressDetail: z.object({ current: z.number().optional(), total: z.number().optional() }).optional(),
});

type PullEvent = z.infer<typeof pullEvent>;

const imageFacts = z
  .object({ Config: z.object({ Env: z.array(z.string()).nullish() }).nullish() })
  .transform(({ Config }): ImageFacts => {
    return { variables: (Config?.Env ?? []).map((line) => line.replace(/=.*$/s, '')) };
  });

/** Percent of an image's download, from the events of its layers. */
class PullProgress {
  private readonly layers = new Map<string, { current: number; total: number }>();
  private highest = 0;

  /** The new percentage (0 to 100, never lower than before); `undefined` when nothing can be told yet. */
  add({ id, status, progressDetail }: PullEvent): number | undefined {
    if (id === undefined) return undefined;
    const { current, total } = progressDetail ?? {};
    if (status === 'Downloading' && current !== undefined && total !== undefined && total > 0) {
      this.layers.set(id, { current, total });
    }
    const layer = this.layers.get(id);
    if (layer && (status === 'Download complete' || status === 'Pull complete')) layer.current = layer.total;
    const sums = [...this.layers.values()].reduce(
      (sum, each) => ({ current: sum.current + each.current, total: sum.total + each.total }),
      { current: 0, total: 0 },
    );
    if (sums.total === 0) return undefined;
    this.highest = Math.max(this.highest, Math.floor((100 * sums.current) / sums.total));
    return this.highest;
  }
}

function missing(image: string, why: string): ImageMissingError {
  return new ImageMissingError(
    `Image ${image} ${why}: run \`docker pull ${image}\` on this host, or correct the name`,
    {
      image,
    },
  );
}

/** @throws LaunchFailedError when `spec` names none */
export function imageOf(spec: LaunchSpec): string {
  if (spec.image !== undefined && spec.image !== '') return spec.image;
  throw new LaunchFailedError(`${spec.name} has no image to run: configure one`, { name: spec.name });
}

/** What is known of an image on the host. */
export interface ImageFacts {
  /** Names of the variables that it sets. */
  readonly variables: readonly string[];
}

/** `undefined` where the image is to be pulled. @throws ImageMissingError when it is not there, and must not be pulled */
export async function findImage(
  engine: Engine,
  spec: LaunchSpec,
  signal: AbortSignal,
): Promise<ImageFacts | undefined> {
  const image = imageOf(spec);
  const found = await engine.find(signal, (docker, abortSignal) => {
    // abortSignal: not in dockerode's types of this call alone.
    const options: object = { abortSignal };
    return docker.getImage(image).inspect(options);
  });
  if (found) return imageFacts.parse(found);
  if (spec.pull === 'never') throw missing(image, 'is not on this host and pull is "never"');
  return undefined;
}

/**
 * Pulls an image, without credentials.
 * @throws ImageMissingError with the registry's words; EngineUnavailableError, also at the deadline
 */
export async function pullImage(
  engine: Engine,
  image: string,
  limits: {
    readonly limitMs: number;
    readonly signal: AbortSignal;
    readonly onProgress?: ProgressListener | undefined;
  },
): Promise<void> {
  const { limitMs, signal, onProgress } = limits;
  const progress = new PullProgress();
  let told: number | undefined;
  onProgress?.(`pulling ${image}`);
  const call: EngineCall<void> = async (docker, abortSignal) => {
    // As above.
    const options: object = { abortSignal };
    for await (const line of jsonLines(await docker.pull(image, options))) {
      const event = pullEvent.safeParse(line);
      if (!event.success) continue;
      // A pull that fails has been answered with 200 long before.
      if (event.data.error !== undefined) throw missing(image, `could not be pulled (${event.data.error})`);
      const percent = progress.add(event.data);
      if (percent === undefined || percent === told) continue;
      told = percent;
      onProgress?.(`pulling ${image}: ${percent} %`);
    }
  };
  try {
    await engine.call(signal, call, limitMs);
  } catch (error) {
    if (statusOf(error) === undefined) throw error;
    throw missing(image, `could not be pulled (${engineWords(error) || messageOf(error)})`);
  }
}
