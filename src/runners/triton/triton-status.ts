import { within } from '../../common/deadline.js';
import { messageOf, systemCodeOf } from '../../common/errors.js';
import type { Deployment, PlacementObservation, PlacementPhase } from '../runner.js';
import { unseenAs } from '../unseen.js';
import type { Ensembles } from './ensembles.js';
import { type GroupKind, serves } from './instance-groups.js';
import type { IndexRow } from './triton-client.js';
import { optionsOf } from './triton-options.js';
import type { RunningTriton } from './triton-server.js';
import type { TritonServers } from './triton-servers.js';

/** Time, ms, of the launcher to say whether the server runs; what a probe has beyond that is for the server itself. */
const INSPECT_TIMEOUT_MS = 1000;

type PhaseOfGpu = (gpuId: number) => readonly [PlacementPhase, string?];

/** What is true of a deployment, by the launcher's word and by Triton's. */
export class TritonStatus {
  constructor(
    private readonly servers: TritonServers,
    private readonly ensembles: Ensembles,
    /** Of the instances that a model is to have; `undefined`: they are Triton's choice. */
    private readonly groupKindOf: (model: string) => GroupKind | undefined,
  ) {}

  /** `Runner.getStatus` */
  async of(deployment: Deployment, signal: AbortSignal): Promise<readonly PlacementObservation[]> {
    const server = this.servers.of(deployment.modelName);
    let running: RunningTriton | undefined;
    try {
      running = await within({ ms: INSPECT_TIMEOUT_MS, signal }, (limit) => server.find(limit));
    } catch (error) {
      return this.statusBehindLauncher(deployment, server.lastSeen, messageOf(error), signal);
    }
    if (!running) {
      const { sentence } = await server.ending();
      return this.observations(deployment, undefined, () => ['absent', sentence]);
    }
    try {
      return this.observations(deployment, running, await this.askPhases(deployment, running, signal));
    } catch (error) {
      return this.observations(deployment, running, () => [unseenAs(error), messageOf(error)]);
    }
  }

  /** Where the launcher does not answer, for whatever reason: Triton's own word is as good. */
  private async statusBehindLauncher(
    deployment: Deployment,
    running: RunningTriton | undefined,
    trouble: string,
    signal: AbortSignal,
  ): Promise<readonly PlacementObservation[]> {
    if (!running) return this.observations(deployment, undefined, () => ['unknown', trouble]);
    try {
      return this.observations(deployment, running, await this.askPhases(deployment, running, signal));
    } catch (error) {
      const isRefused = systemCodeOf(error) === 'ECONNREFUSED';
      const words = `${trouble}; Triton: ${messageOf(error)}`;
      return this.observations(deployment, running, () => [isRefused ? 'unknown' : unseenAs(error), words]);
    }
  }

  /** What Triton says of the model on each GPU. @throws whatever keeps it from saying so */
  private async askPhases(
    deployment: Deployment,
    { client }: RunningTriton,
    signal: AbortSignal,
  ): Promise<PhaseOfGpu> {
    const config = (await client.isModelReady(deployment.modelName, signal))
      ? await client.modelConfig(deployment.modelName, signal)
      : undefined;
    if (config) {
      const isEnsemble = config.platform === 'ensemble' || config.ensemble_scheduling.step.length > 0;
      this.ensembles.note(deployment.modelName, isEnsemble);
      const kind = this.groupKindOf(deployment.modelName);
      if (isEnsemble || kind === undefined) return () => ['ready'];
      const count = optionsOf(deployment.options).instances_per_gpu;
      return (gpuId) =>
        serves(config, gpuId, count, kind) ? ['ready'] : ['absent', 'the model has no instances on this GPU'];
    }
    const phase = phaseOf(await client.indexOf(deployment.modelName, signal));
    return () => phase;
  }

  private observations(
    deployment: Deployment,
    running: RunningTriton | undefined,
    phase: PhaseOfGpu,
  ): PlacementObservation[] {
    return deployment.gpuIds.map((gpuId) => {
      const [name, reason] = phase(gpuId);
      return {
        gpuId,
        phase: name,
        ...(reason !== undefined && { reason }),
        pid: running?.info.pid ?? null,
        port: running?.ports.http ?? null,
        serverName: running ? this.servers.of(deployment.modelName).name : null,
      };
    });
  }
}

function phaseOf(rows: readonly IndexRow[]): [PlacementPhase, string?] {
  const states = rows.map((row) => row.state);
  if (states.includes('LOADING')) return ['starting'];
  // READY here, and not when asked for readiness a moment ago: it has just come up, the next probe will see it.
  if (states.includes('READY')) return ['starting'];
  if (states.includes('UNLOADING')) return ['starting', 'the model is being unloaded'];
  return ['absent', rows.find((row) => row.reason)?.reason ?? 'the model is not loaded'];
}
