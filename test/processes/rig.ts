import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { pino, type Logger } from 'pino';
import { SystemClock } from '../../src/common/clock.js';
import { rowOf } from '../../src/host/process-identity.js';
import { loadConfig } from '../../src/config/load-config.js';
import { backends } from '../../src/runners/backends.js';
import type { Config } from '../../src/config/schema.js';
import { GpuProvider, type GpuSample } from '../../src/gpus/gpu-provider.js';
import { GpuOccupants } from '../../src/gpus/gpu-occupants.js';
import { GpusService } from '../../src/gpus/gpus.service.js';
import { type CertainOwner, ProcessOwners } from '../../src/gpus/process-owners.js';
import { LauncherRegistry } from '../../src/launchers/launcher-registry.js';
import { HostProcesses, type SystemCalls } from '../../src/host/host-processes.js';
import { ProcessesService, type ServerEnds } from '../../src/processes/processes.service.js';
import type { ProcessFacts } from '../../src/host/process-facts.js';
import { readFacts } from '../../src/host/process-facts.js';
import { NO_READINGS } from '../../src/gpus/no-readings.js';

export interface SentSignal {
  readonly pid: number;
  readonly signal: NodeJS.Signals;
}

export function facts(over: Partial<ProcessFacts> = {}): ProcessFacts {
  const pid = over.pid ?? 4242;
  return {
    pid,
    startTime: `${pid}00@boot`,
    parentPid: 1,
    groupId: pid,
    sessionId: pid,
    alive: true,
    state: 'S',
    isKernelThread: false,
    threadGroupId: pid,
    name: 'python3',
    userId: 1000,
    executable: '/usr/bin/python3.11',
    command: ['python3', 'train.py'],
    ...over,
  };
}

export function gpu(over: Partial<GpuSample> = {}): GpuSample {
  return {
    id: 0,
    uuid: null,
    name: null,
    ...NO_READINGS,
    simulated: false,
    ...over,
  };
}

/** A system error as Node throws it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`kill ${code}`), { code });
}

/** The real system, but signals go to no process that `mayHit` doesn't name. */
export function guarded(mayHit: (pid: number) => boolean, sent: SentSignal[]): SystemCalls {
  return {
    facts: readFacts,
    row: rowOf,
    kill: (pid, signal) => {
      if (signal !== 0) {
        sent.push({ pid, signal });
        if (!mayHit(pid)) throw new Error(`The test would have sent ${signal} to ${pid}`);
      }
      process.kill(pid, signal);
    },
  };
}

class FixedGpus extends GpuProvider {
  constructor(private readonly samples: () => readonly GpuSample[]) {
    super();
  }

  sample(): Promise<readonly GpuSample[]> {
    return Promise.resolve().then(this.samples);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Servers that end when they are told to, in the tests' words only. */
class ToldServers implements ServerEnds {
  readonly unsaved = undefined;
  readonly ended: string[] = [];
  failure: Error | undefined;

  constructor(private readonly occupants: GpuOccupants) {}

  placementsOn(serverName: string): string[] {
    const here = this.occupants.list().filter((occupant) => occupant.serverName === serverName);
    return here.map(({ modelName, gpuId }) => `${modelName}@${gpuId}`);
  }

  endServer(serverName: string, by: string): Promise<string[]> {
    if (this.failure) return Promise.reject(this.failure);
    this.ended.push(`${serverName} by ${by}`);
    return Promise.resolve(this.placementsOn(serverName));
  }
}

/** Nobody is in a container, and none was launched here. */
export class ToldOwners extends ProcessOwners {
  readonly told = new Map<number, CertainOwner>();

  override of(pid: number): Promise<CertainOwner> {
    return this.certainly(pid);
  }

  override certainly(pid: number): Promise<CertainOwner> {
    return Promise.resolve(this.told.get(pid) ?? { serverName: null, container: null, user: null });
  }
}

export interface Rig {
  readonly service: ProcessesService;
  readonly owners: ToldOwners;
  readonly servers: ToldServers;
  readonly occupants: GpuOccupants;
  readonly config: Config;
  readonly logger: Logger;
  readonly log: Record<string, unknown>[];
}

const DEFAULTS = fileURLToPath(new URL('../../config/default.yaml', import.meta.url));

/**
 * The service over `system`, with the shipped configuration but for its `processes` section. Whose a process is, the test
 * tells (`owners`), or else `launchers`.
 */
export function rig(
  system: SystemCalls,
  processes: Partial<Config['processes']> = {},
  samples: () => readonly GpuSample[] = () => [],
  launchers?: LauncherRegistry,
): Rig {
  const defaults = loadConfig(DEFAULTS, {}, backends);
  const config = { ...defaults, processes: { ...defaults.processes, ...processes } };
  const log: Record<string, unknown>[] = [];
  const lines = new Writable({
    write(line: Buffer, _encoding, done) {
      log.push(JSON.parse(line.toString()) as Record<string, unknown>);
      done();
    },
  });
  const logger = pino({ base: null, formatters: { level: (level) => ({ level }) } }, lines);
  const clock = new SystemClock();
  const occupants = new GpuOccupants();
  const gpus = new GpusService(new FixedGpus(samples), clock, config);
  const owners = new ToldOwners(new LauncherRegistry(config, []), clock, logger);
  const asked = launchers ? new ProcessOwners(launchers, clock, logger) : owners;
  const servers = new ToldServers(occupants);
  const host = new HostProcesses(system);
  const service = new ProcessesService(host, gpus, occupants, asked, servers, config, logger);
  return { service, occupants, owners, servers, config, logger, log };
}

export const NOBODY = { from: '127.0.0.1', request: 'test' };
