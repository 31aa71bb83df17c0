import { pollUntil, within } from '../../common/deadline.js';
import { DomainError } from '../../common/errors.js';
import { BackendTimeoutError } from '../errors.js';
import type { Deployment } from '../deployment.js';
import type { TritonServers } from './triton-servers.js';

/** Time between two looks at the steps that are waited for. */
const LOOK_MS = 250;
const READ_TIMEOUT_MS = 5000;

/** An ensemble needs models that do not run. */
export class EnsembleStepsError extends DomainError {
  readonly code = 'ENSEMBLE_STEPS_NOT_RUNNING';
  readonly kind = 'conflict';
}

/** What is wanted of Triton, all models. */
type Wanted = () => readonly Deployment[];

/**
 * Models that are made of others, their steps, in the same Triton. To load an ensemble whose steps are not there, Triton
 * loads these, too: models that nobody has started, on GPUs that nobody has chosen. So an ensemble is loaded when its
 * steps serve, and not before.
 */
export class Ensembles {
  /** Known by their templates, or by Triton's word. */
  private readonly known = new Set<string>();

  constructor(
    private readonly servers: TritonServers,
    /** Of the configuration. */
    private readonly models: readonly string[],
  ) {}

  /** By what was seen of it last. */
  has(model: string): boolean {
    return this.known.has(model);
  }

  note(model: string, isEnsemble: boolean): void {
    if (isEnsemble) this.known.add(model);
    else this.known.delete(model);
  }

  /** By Triton's own word, all steps serve. @throws EnsembleStepsError that names those that do not, ModelConfigError */
  async check(model: string, wanted: Wanted, signal: AbortSignal): Promise<void> {
    const missing = await this.missingSteps(model, signal);
    if (missing.length > 0) throw this.missingError(model, missing, wanted());
  }

  /**
   * Resolves when all steps serve. Those that start are waited for: each comes to serve, or is an ERROR.
   * @param tell which are waited for, in words
   * @throws EnsembleStepsError where one is not wanted, ModelConfigError, the signal's reason
   */
  async untilStepsServe(
    model: string,
    wanted: Wanted,
    tell: (words: string) => void,
    signal: AbortSignal,
  ): Promise<void> {
    await pollUntil(
      async () => {
        const missing = await this.missingNow(model, signal);
        if (missing.length === 0) return true;
        const deployments = wanted();
        const isComing = (step: string): boolean =>
          step !== model &&
          this.fault(model, step) === undefined &&
          deployments.some((each) => each.modelName === step);
        if (!missing.every(isComing)) throw this.missingError(model, missing, deployments);
        tell(`waiting for ${missing.join(', ')}, which ${model} is made of`);
        return undefined;
      },
      { intervalMs: LOOK_MS, signal },
    );
  }

  /** Where nobody can tell, all that it is made of: they are waited for. */
  private async missingNow(model: string, signal: AbortSignal): Promise<readonly string[]> {
    const steps = await this.stepsOf(model, signal);
    try {
      return await this.notServing(model, steps, signal);
    } catch {
      signal.throwIfAborted();
      return steps;
    }
  }

  private async missingSteps(model: string, signal: AbortSignal): Promise<readonly string[]> {
    return this.notServing(model, await this.stepsOf(model, signal), signal);
  }

  private async stepsOf(model: string, signal: AbortSignal): Promise<readonly string[]> {
    const late = (): BackendTimeoutError =>
      new BackendTimeoutError(
        `The template of ${model} could not be read within ${READ_TIMEOUT_MS / 1000} s.`,
      );
    const steps = await within({ ms: READ_TIMEOUT_MS, signal, late }, () =>
      this.servers.repositoryOf(model).check(model, 'auto'),
    );
    this.note(model, steps !== undefined);
    return steps ?? [];
  }

  private async notServing(
    model: string,
    steps: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    if (steps.length === 0) return [];
    const server = await this.servers.locate(model, signal);
    await Promise.all(steps.map((step) => this.servers.locate(step, signal)));
    const client = (await server.find(signal))?.client;
    if (!client) return steps;
    try {
      const rows = await client.index(signal);
      const ready = new Set(rows.filter(({ state }) => state === 'READY').map(({ name }) => name));
      return steps.filter((step) => !ready.has(step));
    } catch {
      signal.throwIfAborted();
      return steps; // a Triton that does not answer serves none
    }
  }

  /** Why it will never serve beside the ensemble, whatever is started. */
  private fault(model: string, step: string): string | undefined {
    if (step === model) return 'the ensemble itself';
    if (!this.models.includes(step)) return 'not in runners.triton.supported_models';
    return this.servers.of(step) === this.servers.of(model)
      ? undefined
      : 'on another Triton, by use_dedicated_server';
  }

  private missingError(
    model: string,
    missing: readonly string[],
    wanted: readonly Deployment[],
  ): EnsembleStepsError {
    const named = missing.map((step) => {
      const isWanted = wanted.some(({ modelName }) => modelName === step);
      const words = this.fault(model, step) ?? (isWanted ? 'starting' : undefined);
      return words === undefined ? step : `${step} (${words})`;
    });
    return new EnsembleStepsError(
      `${model} is an ensemble of models that do not run: ${named.join(', ')}. Start these first, and ${model} when they are RUNNING.`,
      { model, missing },
    );
  }
}
