import { Inject, Injectable, Optional } from '@nestjs/common';
import {
  BACKENDS_WITH_SERVERS,
  type BackendsWithServers,
  FORMER_RUNNER,
  type FormerRunner,
} from '../../runners/former-backends.js';
import { RUNNER, type Runner } from '../../runners/runner.js';
import { UnknownModelError } from './errors.js';

/** Which model belongs to which backend (the seed's "supported_models" mapping). */
@Injectable()
export class Catalog {
  private readonly runners = new Map<string, Runner>();
  /** Of backends that the configuration does not offer any more, for what is left of their models. */
  private readonly former = new Map<string, Runner>();

  constructor(
    @Inject(RUNNER) private readonly offered: readonly Runner[],
    @Optional() @Inject(FORMER_RUNNER) private readonly formerRunner: FormerRunner = () => undefined,
    @Optional()
    @Inject(BACKENDS_WITH_SERVERS)
    private readonly withServers: BackendsWithServers = () => Promise.resolve([]),
  ) {
    for (const runner of offered) for (const model of runner.models) this.runners.set(model, runner);
  }

  /** Of the backends that the configuration offers, and of those that were asked for by name. */
  get allRunners(): readonly Runner[] {
    return [...this.offered, ...this.former.values()];
  }

  /** Of a backend by its name, for what an earlier configuration has started there; `undefined` of one that there is not. */
  ofBackend(backend: string): Runner | undefined {
    const known = this.allRunners.find((runner) => runner.backend === backend);
    if (known) return known;
    const runner = this.formerRunner(backend);
    if (runner) this.former.set(backend, runner);
    return runner;
  }

  /** Those that the configuration does not offer any more, and that have servers here, are among `allRunners` from then on. */
  async lookForFormer(signal: AbortSignal): Promise<void> {
    for (const backend of await this.withServers(signal)) this.ofBackend(backend);
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

  /** model → `model_type`, of those that can be started here. */
  supported(): Record<string, string> {
    const startable = [...this.runners].filter(([model, runner]) => runner.canStart(model));
    return Object.fromEntries(startable.map(([model, runner]) => [model, runner.backend]));
  }
}
