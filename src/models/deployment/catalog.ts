import { Inject, Injectable } from '@nestjs/common';
import { RUNNER, type Runner } from '../../runners/runner.js';
import { UnknownModelError } from './errors.js';

/** Which model belongs to which backend (the seed's "supported_models" mapping). */
@Injectable()
export class Catalog {
  private readonly runners = new Map<string, Runner>();

  constructor(@Inject(RUNNER) readonly allRunners: readonly Runner[]) {
    for (const runner of allRunners) for (const model of runner.models) this.runners.set(model, runner);
  }

  /** @throws UnknownModelError of the given kind */
  runnerOf(modelName: string, kindOfError: 'invalid' | 'not_found'): Runner {
    const runner = this.runners.get(modelName);
    if (!runner) throw new UnknownModelError(modelName, kindOfError, [...this.runners.keys()]);
    return runner;
  }

  find(modelName: string): Runner | undefined {
    return this.runners.get(modelName);
  }

  /** Other models of its backend are served by the same server on this GPU, or might be. */
  mayShareServer(modelName: string, gpuId: number): boolean {
    const runner = this.runners.get(modelName);
    const server = runner?.serverNameOf(modelName, gpuId);
    const others = runner?.models.filter((each) => each !== modelName) ?? [];
    return others.some((each) => runner?.serverNameOf(each, gpuId) === server);
  }

  /** model → `model_type`, of those that can be started here. */
  supported(): Record<string, string> {
    const startable = [...this.runners].filter(([model, runner]) => runner.canStart(model));
    return Object.fromEntries(startable.map(([model, runner]) => [model, runner.backend]));
  }
}
