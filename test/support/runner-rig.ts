import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isPortTaken } from '../../src/host/ports.js';
import { ProcessLauncher } from '../../src/launchers/process/process-launcher.js';
import type { RunnerHost } from '../../src/runners/runner-host.js';
import type { PlacementObservation } from '../../src/runners/observation.js';
import type { Runner } from '../../src/runners/runner.js';
import type { RunnerHarness } from '../contracts/runner/rig.js';
import { GatedLauncher } from './gated-launcher.js';
import { freePorts } from './ports.js';

/** Runners over process launchers on a state directory of their own. */
export class RunnerRig {
  readonly launchers: GatedLauncher[] = [];

  private constructor(
    readonly directory: string,
    /** The first of 20 ports that nobody had a moment ago. */
    readonly firstPort: number,
  ) {}

  static async create(): Promise<RunnerRig> {
    const [port = 0] = await freePorts(1);
    return new RunnerRig(await mkdtemp(join(tmpdir(), 'mic-runner-')), Math.min(port, 32_700));
  }

  get ports(): { from: number; to: number } {
    return { from: this.firstPort, to: this.firstPort + 20 };
  }

  launcher(): GatedLauncher {
    const stateDir = join(this.directory, 'state');
    const launcher = new GatedLauncher(new ProcessLauncher({ stateDir, owner: 'test', logMaxBytes: 65_536 }));
    this.launchers.push(launcher);
    return launcher;
  }

  host(): RunnerHost {
    const launcher = this.launcher();
    return { launchers: { get: () => launcher, peek: () => launcher }, isPortTaken, pullTimeoutSeconds: 1 };
  }

  /** The part of a harness that is the same for every backend of processes. */
  harness(
    backend: Pick<RunnerHarness, 'model' | 'failing' | 'endless' | 'sharesServer'> & {
      readonly create: (rig: RunnerRig) => Runner;
    },
  ): RunnerHarness {
    return {
      ...backend,
      create: async () => {
        await this.closeLaunchers();
        return backend.create(this);
      },
      kill: (observation) => {
        signal(observation, 'SIGKILL');
      },
      freeze: (observation) => {
        signal(observation, 'SIGSTOP');
      },
      loseLauncher: () => {
        for (const launcher of this.launchers) launcher.isAway = true;
      },
      cleanUp: () => this.dispose(),
    };
  }

  /** A state directory has one service at a time: the next one finds the earlier one gone. */
  async closeLaunchers(): Promise<void> {
    for (const launcher of this.launchers) await launcher.close();
  }

  async dispose(): Promise<void> {
    const last = this.launcher();
    const deadline = AbortSignal.timeout(20_000);
    for (const { name } of await last.list({}, deadline)) await last.stop(name, 0, deadline);
    await this.closeLaunchers();
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function signal({ pid }: PlacementObservation, name: NodeJS.Signals): void {
  if (pid === null) throw new Error('no process');
  process.kill(pid, name);
}
