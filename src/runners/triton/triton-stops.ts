import type { Deployment } from '../deployment.js';
import type { RunnerContext, StopContext } from '../runner-context.js';
import type { ModelRepository } from './model-repository.js';
import type { TritonInventory } from './triton-inventory.js';
import type { TritonLoader } from './triton-loader.js';
import type { TritonServer } from './triton-server.js';
import type { TritonServers } from './triton-servers.js';

/** Takes models away: out of a server that others need, or with it. */
export class TritonStops {
  /** Models that are being stopped. */
  private readonly leaving = new Set<string>();

  constructor(
    private readonly servers: TritonServers,
    private readonly loader: TritonLoader,
    private readonly inventory: TritonInventory,
  ) {}

  async stop(deployment: Deployment, gpuIds: readonly number[], context: StopContext): Promise<void> {
    const { modelName } = deployment;
    // Whose servers those are that others want, too: this one may be among them.
    const models = [modelName, ...wantedIn(context)];
    await Promise.all(models.map((model) => this.servers.locate(model, context.signal)));
    const server = this.servers.of(modelName);
    const repository = this.servers.repositoryOf(modelName);
    if (deployment.gpuIds.length > 0) {
      await this.loader.shrink(server, deployment, gpuIds, context);
      return;
    }
    this.leaving.add(modelName);
    try {
      if (context.patienceMs > 0) await this.loader.workOff(server, modelName, context);
      // Others start and stop meanwhile: the model goes with the server, or out of one that stays.
      if (!(await this.stopServer(server, context))) {
        const running = await server.findLive(context);
        if (running) await this.loader.unload(server, running, modelName, gpuIds, context);
        await this.stopServer(server, context);
      }
    } finally {
      this.leaving.delete(modelName);
    }
    await forgetConfig(modelName, repository, context);
  }

  async byForce({ modelName }: Deployment, context: RunnerContext): Promise<void> {
    const server = await this.servers.locate(modelName, context.signal);
    const repository = this.servers.repositoryOf(modelName);
    await server.end(context.signal);
    await forgetConfig(modelName, repository, context);
  }

  /** Unless somebody needs it, or it has a model that is an orphan: that one has its grace. Says whether it did. */
  private async stopServer(server: TritonServer, context: RunnerContext): Promise<boolean> {
    const needed = (): string[] => [...wantedIn(context), ...this.loader.modelsWorkedOff];
    const isNeeded = (): boolean => needed().some((model) => this.servers.of(model) === server);
    if (isNeeded() || (await this.hasSpares(server, needed(), context.signal))) return false;
    return server.stopUnless(isNeeded, context.signal);
  }

  /** A server of one model has no other. */
  private async hasSpares(
    server: TritonServer,
    needed: readonly string[],
    signal: AbortSignal,
  ): Promise<boolean> {
    if (server !== this.servers.shared) return false;
    const running = await server.find(signal);
    if (!running) return false;
    const { launcher } = server.whereabouts.place;
    const spares = await this.inventory.sparesIn(running, launcher, [...needed, ...this.leaving], signal);
    return spares.length > 0;
  }
}

/** Of a model that somebody wants, the configuration is written anew by its next load. */
async function forgetConfig(
  model: string,
  repository: ModelRepository,
  context: RunnerContext,
): Promise<void> {
  if (!wantedIn(context).includes(model)) await repository.removeConfig(model);
}

function wantedIn(context: RunnerContext): string[] {
  return context.wanted().map(({ modelName }) => modelName);
}
