import { within } from '../../common/deadline.js';
import { messageOf, systemCodeOf } from '../../common/errors.js';
import type { Deployment, PlacementObservation, PlacementPhase } from '../runner.js';
import { absentAfter } from '../launched-server.js';
import { unseenAs } from '../unseen.js';
import { serves } from './instance-groups.js';
import type { IndexRow } from './triton-client.js';
import { optionsOf } from './triton-options.js';
import type { RunningTriton } from './triton-server.js';
import type { TritonServers } from './triton-servers.js';

/** Time, ms, of the launcher to say whether the server runs; what a probe has beyond that is for the server itself. */
const INSPECT_TIMEOUT_MS = 1000;

type PhaseOfGpu = (gpuId: number) => readonly [PlacementPhase, string?, (readonly string[] | undefined)?];

const NOT_LOADED = 'the model is not loaded';

/** What is true of a deployment, by the launcher's word and by Triton's. */
export class TritonStatus {
  /** Model → id of the run of its server that was last seen to serve it. */
  private readonly servedIn = new Map<string, string>();

  constructor(private readonly servers: TritonServers) {}

  /** `Runner.getStatus` */
  async of(deployment: Deployment, signal: AbortSignal): Promise<readonly PlacementObservation[]> {
    const { modelName } = deployment;
    let running: RunningTriton | undefined;
    try {
      running = await within({ ms: INSPECT_TIMEOUT_MS, signal }, async (limit) =>
        (await this.servers.locate(modelName, limit)).find(limit),
      );
    } catch (error) {
      const { lastSeen } = this.servers.of(modelName);
      return this.statusBehindLauncher(deployment, lastSeen, messageOf(error), signal);
    }
    if (!running) {
      const { phase, reason, lastLines } = absentAfter(await this.servers.of(modelName).ending());
      return this.observations(deployment, undefined, () => [phase, reason, lastLines]);
    }
    try {
      const phases = await this.askPhases(deployment, running, signal);
      return this.withEarlierEnd(this.observations(deployment, running, phases), deployment, running);
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
      const count = optionsOf(deployment.options).instances_per_gpu;
      return (gpuId) =>
        serves(config, gpuId, count) ? ['ready'] : ['absent', 'the model has no instances on this GPU'];
    }
    const phase = phaseOf(await client.indexOf(deployment.modelName, signal));
    return () => phase;
  }

  /** A server that others have launched anew does not have the model: it was lost with the run before. */
  private withEarlierEnd(
    observations: readonly PlacementObservation[],
    { modelName }: Deployment,
    { info }: RunningTriton,
  ): readonly PlacementObservation[] {
    const earlier = this.servedIn.get(modelName);
    if (observations.some(({ phase }) => phase === 'ready')) this.servedIn.set(modelName, info.id);
    if (earlier === undefined || earlier === info.id) return observations;
    const ending = this.servers.of(modelName).endingOf(earlier);
    return observations.map((each) =>
      ending && each.phase === 'absent' && each.reason === NOT_LOADED
        ? { ...each, ...absentAfter(ending) }
        : each,
    );
  }

  private observations(
    deployment: Deployment,
    running: RunningTriton | undefined,
    phase: PhaseOfGpu,
  ): PlacementObservation[] {
    return deployment.gpuIds.map((gpuId) => {
      const [name, reason, lastLines] = phase(gpuId);
      return {
        gpuId,
        phase: name,
        ...(reason !== undefined && { reason }),
        ...(lastLines && { lastLines }),
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
  return ['absent', rows.find((row) => row.reason)?.reason ?? NOT_LOADED];
}
