import type { Examiner } from '../common/examiner.js';
import { DomainError } from '../common/errors.js';
import type { GpuRef } from '../runners/deployment.js';
import type { Runner } from '../runners/runner.js';
import { type Fault, faultOf, type Finding } from './check.js';

/** What the Engine's absence hides; that it is away is said once, of the Engine. */
const AWAY = 'DOCKER_UNAVAILABLE';
/** Whether a GPU of the host will do depends on which. */
const OTHER_GPU = 'GPU_NOT_USABLE';
const GPUS = 'gpus';

interface Obstacle {
  readonly subject: string;
  readonly error: unknown;
}

/**
 * Whether a model could be started now with its default options, by the checks of a start, each for itself; a server that
 * runs passes. It is asked on one GPU after another until one will do.
 */
export async function startFindings(
  runner: Runner,
  modelName: string,
  gpus: readonly GpuRef[],
  signal: AbortSignal,
): Promise<Finding[]> {
  const ids = gpus.length > 0 ? gpus.map(({ id }) => id) : [0];
  let looked: Looked | undefined;
  for (const gpuId of ids) {
    looked = await examined(runner, modelName, gpuId, gpus, signal);
    if (!looked.obstacles.some(({ error }) => codeOf(error) === OTHER_GPU)) break;
  }
  const obstacles = looked?.obstacles ?? [];
  const subjects = [...(looked?.subjects ?? [])];
  // That no GPU can be read is said of the GPUs.
  const told = gpus.length > 0 ? subjects : subjects.filter((subject) => subject !== GPUS);
  return told.map((subject) => findingOf(runner.backend, subject, modelName, obstacles));
}

interface Looked {
  readonly subjects: ReadonlySet<string>;
  readonly obstacles: readonly Obstacle[];
}

async function examined(
  runner: Runner,
  modelName: string,
  gpuId: number,
  gpus: readonly GpuRef[],
  signal: AbortSignal,
): Promise<Looked> {
  const subjects = new Set<string>();
  const obstacles: Obstacle[] = [];
  const examine: Examiner = async (subject, check) => {
    subjects.add(subject);
    try {
      await check();
      return true;
    } catch (error) {
      signal.throwIfAborted();
      obstacles.push({ subject, error });
      return false;
    }
  };
  const deployment = { modelName, gpuIds: [gpuId], options: runner.defaultOptions(modelName) };
  const context = { signal, gpus, wanted: () => [], onProgress: () => undefined, examine };
  try {
    await runner.preflight(deployment, context);
  } catch (error) {
    signal.throwIfAborted();
    subjects.add('start');
    obstacles.push({ subject: 'start', error });
  }
  return { subjects, obstacles };
}

function findingOf(
  backend: string,
  subject: string,
  modelName: string,
  obstacles: readonly Obstacle[],
): Finding {
  const own = obstacles.filter((obstacle) => obstacle.subject === subject);
  const isHidden = own.some(({ error }) => codeOf(error) === AWAY);
  return {
    name: `${backend}.${subject}`,
    faults: own
      .filter(({ error }) => codeOf(error) !== AWAY)
      .map(({ error }): Fault => faultOf(error, [modelName])),
    ...(isHidden && { unknown: 'The Docker Engine does not answer.' }),
  };
}

function codeOf(error: unknown): string | undefined {
  return error instanceof DomainError ? error.code : undefined;
}
