import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../../common/clock.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import type { GpuSample } from '../gpu-provider.js';
import type { GpuHealthInfo } from '../gpus.dto.js';
import { GpusService } from '../gpus.service.js';
import type { GpuFault } from './faults.js';
import { type FaultCounts, GpuCordons, type NamedGpu } from './gpu-cordons.js';
import { badXid } from './xids.js';

/** A throttle that has not been seen for so long, ms, has passed. */
const PASSED_MS = 60_000;

const WELL: GpuHealthInfo = { status: 'ok', reason: null, since: null, by: null };

/** What is known of one GPU. */
interface Known {
  /** Of its last readings, those that pass by themselves apart. */
  faults: readonly GpuFault[];
  /** Bad ones, in words, since an operator has looked at it last. */
  xids: readonly string[];
  /** Monotonic ms. */
  throttledSince: number | undefined;
  calmSince: number | undefined;
  /** Its throttle has stayed, in words. */
  throttle: string | undefined;
  /** Why it is bad, where that leads to no cordon. */
  unhealthy: Badness | undefined;
  /** Since when its readings have shown it to be bad without a break. */
  badSince: string | undefined;
}

interface Badness {
  readonly reason: string;
  /** ISO 8601. */
  readonly since: string;
}

/**
 * The health of the GPUs, by their readings: a bad one is cordoned, or only told (`gpus.health.auto_cordon`). A reading that
 * failed says nothing, and what one GPU tells says nothing of the others.
 */
@Injectable()
export class GpuHealth {
  private readonly known = new Map<string, Known>();

  constructor(
    private readonly cordons: GpuCordons,
    gpus: GpusService,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Pick<Config, 'gpus'>,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    gpus.onReading((now, samples) => {
      for (const [at, gpu] of now.entries()) {
        const sample = samples[at];
        if (sample) this.look(gpu, sample);
      }
    });
  }

  /** As the API shows it. Never waits. */
  of(gpu: NamedGpu): GpuHealthInfo {
    const cordon = this.cordons.of(gpu);
    if (cordon) {
      const { reason, since, by } = cordon;
      return { status: 'cordoned', reason, since, by };
    }
    const known = this.knownOf(gpu);
    const unhealthy = known.unhealthy ?? stillBad(known);
    return unhealthy ? { status: 'unhealthy', ...unhealthy, by: null } : WELL;
  }

  /**
   * By an operator, who knows of all that is known now.
   * @param request id of the request, for the log
   * @throws ShuttingDownError; StateWriteError, and nothing has changed
   */
  async uncordon(gpu: NamedGpu, request?: string): Promise<void> {
    const known = this.knownOf(gpu);
    await this.cordons.uncordon(gpu, countsOf(known.faults), request);
    known.xids = [];
    known.throttle = undefined;
    known.throttledSince = undefined;
    known.unhealthy = undefined;
  }

  private look(gpu: NamedGpu, sample: GpuSample): void {
    const { faults = [], xids = [], error } = sample;
    const known = this.knownOf(gpu);
    const lasting = faults.filter(({ kind }) => kind !== 'throttle');
    // What gives no readings does not tell that a fault is gone.
    known.faults = error === undefined ? lasting : merged(known.faults, lasting);
    known.badSince =
      presentIn(known).length > 0 ? (known.badSince ?? this.clock.now().toISOString()) : undefined;
    const bad = this.badXids(gpu, xids);
    known.xids = [...new Set([...known.xids, ...bad])];
    const throttle = faults.find(({ kind }) => kind === 'throttle');
    if (throttle || error === undefined) this.lookAtThrottle(gpu, known, throttle);
    const reasons = [...this.unacknowledged(gpu, known.faults), ...bad];
    if (this.config.gpus.health.auto_cordon) {
      for (const reason of reasons) void this.cordons.found(gpu, { reason, passes: false });
      if (known.throttle !== undefined)
        void this.cordons.found(gpu, { reason: known.throttle, passes: true });
    } else this.tell(gpu, known, [...this.unacknowledged(gpu, known.faults), ...known.xids, known.throttle]);
  }

  /** Those that an operator who has ended a cordon does not know of; of what there are fewer by now, as many count. */
  private unacknowledged(gpu: NamedGpu, faults: readonly GpuFault[]): string[] {
    const acknowledged = this.cordons.acknowledgedOf(gpu);
    const counts = countsOf(faults);
    const kept = Object.entries(acknowledged).map(([kind, count]): [string, number] => [
      kind,
      Math.min(count, counts[kind] ?? 0),
    ]);
    if (kept.some(([kind, count]) => count !== acknowledged[kind])) {
      void this.cordons.acknowledge(gpu, Object.fromEntries(kept));
    }
    return faults.filter(({ kind, count }) => count > (acknowledged[kind] ?? 0)).map(({ words }) => words);
  }

  private badXids({ id, uuid }: NamedGpu, xids: readonly number[]): string[] {
    const { ignored_xids: ignored } = this.config.gpus.health;
    return xids.flatMap((xid) => {
      const words = ignored.includes(xid) ? undefined : badXid(xid);
      const facts = { event: 'gpu', gpu_id: id, gpu_uuid: uuid, xid };
      this.logger[words === undefined ? 'info' : 'warn'](facts, `GPU ${id} reports ${words ?? `Xid ${xid}`}`);
      return words ?? [];
    });
  }

  /** Bad when it stays, and well again when it has been away for a while. */
  private lookAtThrottle(gpu: NamedGpu, known: Known, throttle: GpuFault | undefined): void {
    const { throttle_seconds: seconds } = this.config.gpus.health;
    const now = this.clock.monotonicMs();
    if (throttle && seconds > 0) {
      known.throttledSince ??= now;
      known.calmSince = undefined;
      if (now - known.throttledSince >= seconds * 1000)
        known.throttle = `${throttle.words}, for ${seconds} s and more`;
      return;
    }
    known.throttledSince = undefined;
    known.calmSince ??= now;
    if (now - known.calmSince < PASSED_MS) return;
    known.throttle = undefined;
    void this.cordons.passed(gpu);
  }

  /** What would be cordoned for it is only told. */
  private tell({ id, uuid }: NamedGpu, known: Known, reasons: readonly (string | undefined)[]): void {
    const reason = reasons.filter((each) => each !== undefined).join('; ');
    if (reason === (known.unhealthy?.reason ?? '')) return;
    const facts = { event: 'gpu', gpu_id: id, gpu_uuid: uuid, reason };
    if (reason === '') this.logger.info(facts, `GPU ${id} is not unhealthy any more`);
    else
      this.logger.warn(
        facts,
        `GPU ${id} is unhealthy, and not cordoned (gpus.health.auto_cordon): ${reason}`,
      );
    const since = known.unhealthy?.since ?? this.clock.now().toISOString();
    known.unhealthy = reason === '' ? undefined : { reason, since };
  }

  private knownOf({ id, uuid }: NamedGpu): Known {
    const key = uuid ?? String(id);
    const known = this.known.get(key) ?? {
      ...{ faults: [], xids: [], throttledSince: undefined, calmSince: undefined },
      ...{ throttle: undefined, unhealthy: undefined, badSince: undefined },
    };
    this.known.set(key, known);
    return known;
  }
}

/** Faults that are there now. Memory errors are counted from the past on: an operator who knows of them has dealt with them. */
function presentIn({ faults }: Known): readonly GpuFault[] {
  return faults.filter(({ kind }) => kind !== 'ecc');
}

/** Nothing cordons it, and its faults are there all the same. */
function stillBad(known: Known): Badness | undefined {
  const present = presentIn(known);
  if (present.length === 0 || known.badSince === undefined) return undefined;
  const words = present.map(({ words: each }) => each).join('; ');
  return {
    reason: `${words}; an operator has ended its cordon, and models can be started on it`,
    since: known.badSince,
  };
}

function countsOf(faults: readonly GpuFault[]): FaultCounts {
  return Object.fromEntries(faults.map(({ kind, count }) => [kind, count]));
}

function merged(before: readonly GpuFault[], now: readonly GpuFault[]): readonly GpuFault[] {
  return [...before.filter(({ kind }) => !now.some((each) => each.kind === kind)), ...now];
}
