import { addAbortSignal, type Readable } from 'node:stream';
import { orAborted } from '../../common/deadline.js';
import { EngineUnavailableError, type GpuSight } from '../launcher.js';
import { demultiplex } from './container-logs.js';
import type { Engine } from './engine.js';

/** What the toolkit puts into a container beside the driver's libraries. */
const COMMAND = ['nvidia-smi', '-L'];
const MAX_OUTPUT_BYTES = 65_536;
/** Containers that are remembered. */
const REMEMBERED = 256;
/** What NVML says where the control group of the container forbids the devices; a driver that was changed says otherwise. */
const LOST = /^Failed to initialize NVML: Unknown Error/m;
const SEEN = /^GPU \d+: /m;

interface Asked {
  readonly at: number;
  readonly answer: Promise<GpuSight>;
}

/**
 * Asks inside containers whether they reach their GPUs: a reload of systemd can take the devices from a container that runs,
 * and nothing outside it shows that. One question at a time per container; one that never ends stays the only one.
 */
export class GpuSights {
  private readonly asked = new Map<string, Asked>();
  /** Questions that were not answered in time, by container. */
  private readonly open = new Map<string, string>();

  constructor(private readonly engine: Engine) {}

  /** @throws EngineUnavailableError */
  ask(id: string, maxAgeMs: number, signal: AbortSignal): Promise<GpuSight> {
    const before = this.asked.get(id);
    if (before && performance.now() - before.at <= maxAgeMs) return orAborted(before.answer, signal);
    const answer = this.answer(id);
    // Whoever waits for it is told.
    answer.catch(() => undefined);
    this.asked.delete(id);
    const [oldest] = this.asked.keys();
    if (this.asked.size >= REMEMBERED && oldest !== undefined) this.asked.delete(oldest);
    this.asked.set(id, { at: performance.now(), answer });
    return orAborted(answer, signal);
  }

  private async answer(id: string): Promise<GpuSight> {
    const never = new AbortController().signal;
    try {
      if (await this.isStillOpen(id, never)) return 'unknown';
      const output = await this.engine.call(never, async (docker, abortSignal) => {
        const exec = await docker
          .getContainer(id)
          .exec({ Cmd: COMMAND, AttachStdout: true, AttachStderr: true, abortSignal });
        this.open.set(id, exec.id);
        return textOf(await exec.start({ hijack: false, stdin: false, abortSignal }), abortSignal);
      });
      this.open.delete(id);
      return sightIn(output);
    } catch (error) {
      // Also where there is no such program, or the container is gone or paused.
      if (error instanceof EngineUnavailableError && !this.open.has(id)) throw error;
      return 'unknown';
    }
  }

  /** A program that hangs in the driver cannot be ended from here: no second one is started beside it. */
  private async isStillOpen(id: string, signal: AbortSignal): Promise<boolean> {
    const open = this.open.get(id);
    if (open === undefined) return false;
    const state = await this.engine.find(signal, (docker, abortSignal) =>
      docker.getExec(open).inspect({ abortSignal }),
    );
    if (state?.Running === true) return true;
    this.open.delete(id);
    return false;
  }
}

function sightIn(output: string): GpuSight {
  const [lost] = LOST.exec(output) ?? [];
  if (lost !== undefined) return { lost };
  return SEEN.test(output) ? 'there' : 'unknown';
}

/** All that it writes until it ends, or as much as an answer can be. */
async function textOf(stream: Readable, signal: AbortSignal): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of addAbortSignal(signal, stream)) {
    parts.push(part as Buffer);
    size += (part as Buffer).length;
    if (size > MAX_OUTPUT_BYTES) break;
  }
  return demultiplex(Buffer.concat(parts));
}
