import { foundBy, strictly } from '../../common/examiner.js';
import type { DomainError } from '../../common/errors.js';
import type { Deployment, GpuRef } from '../deployment.js';
import { refusedOn } from '../unusable-gpus.js';
import type { PreflightContext } from '../runner-context.js';
import type { Ensembles } from './ensembles.js';
import type { GpuVisibility, Sight } from './gpu-visibility.js';
import type { ModelPlaces } from './model-places.js';
import type { ModelRepository } from './model-repository.js';
import type { RunningTriton } from './triton-server.js';
import type { TritonServers } from './triton-servers.js';

/** The checks of a start, which change nothing. */
export class TritonPreflight {
  constructor(
    private readonly servers: TritonServers,
    private readonly repository: ModelRepository,
    private readonly visibility: GpuVisibility,
    private readonly places: ModelPlaces,
    private readonly ensembles: Ensembles,
  ) {}

  /** `Runner.preflight` */
  async check(deployment: Deployment, context: PreflightContext): Promise<void> {
    const { modelName } = deployment;
    const { gpus, signal, examine = strictly } = context;
    const { running, sight } = await this.lookFor(modelName, signal);
    if (running) {
      const { repository: read, info } = running;
      await examine('repository', () => {
        read.checkConfigured(info.name, this.repository);
        return Promise.resolve();
      });
    }
    if (await examine('repository', () => this.repository.checkRoot(), 'hint')) {
      await examine('templates', async () => {
        const steps = await this.repository.check(modelName, this.places.kindOf(modelName));
        this.ensembles.note(modelName, steps !== undefined);
      });
      await examine('repository', () => this.repository.checkWritable(modelName), 'hint');
    }
    const selection = (): Promise<void> => {
      this.visibility.checkSelection(gpus);
      return Promise.resolve();
    };
    if (await examine('gpus', selection, 'hint')) {
      await examine('gpus', () => {
        this.places.of(deployment, gpus, sight);
        return Promise.resolve();
      });
    }
    // What runs by now is no matter of the host.
    if (!context.examine && this.ensembles.has(modelName))
      await this.ensembles.check(modelName, context.wanted, signal);
    if (running) return;
    const server = await foundBy(
      examine,
      'start',
      () => this.servers.locateForStart(modelName, signal),
      this.servers.of(modelName),
    );
    await server.check(this.visibility.of(gpus), signal, context.examine);
  }

  /** `Runner.unusableGpus` */
  async unusable(
    { modelName, options }: Pick<Deployment, 'modelName' | 'options'>,
    gpus: readonly GpuRef[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, DomainError>> {
    const { sight } = await this.lookFor(modelName, signal);
    return refusedOn(gpus, (id) => {
      this.places.of({ modelName, gpuIds: [id], options }, gpus, sight);
    });
  }

  /** The server that the model is to be started on, and what it sees; where nobody can tell, what it saw last. */
  private async lookFor(
    model: string,
    signal: AbortSignal,
  ): Promise<{ readonly running?: RunningTriton | undefined; readonly sight?: Sight | undefined }> {
    try {
      const running = await (await this.servers.locateForStart(model, signal)).glance(signal);
      return { running, sight: running?.sight };
    } catch {
      signal.throwIfAborted();
      return { sight: this.servers.of(model).lastSeen?.sight };
    }
  }
}
