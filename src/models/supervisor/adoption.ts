import { Inject, Injectable } from '@nestjs/common';
import { within } from '../../common/deadline.js';
import { messageOf } from '../../common/errors.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import type { Runner } from '../../runners/runner.js';
import { DesiredStateStore } from '../../state/desired-state.store.js';
import { Catalog } from '../deployment/catalog.js';
import { AdoptionPendingError } from '../deployment/errors.js';
import { Deployments } from './deployments.js';

/** Time, ms, of a backend to say what it serves. */
const ATTEMPT_TIMEOUT_MS = 5000;
/** Time, ms, until a backend that could not tell is asked again. */
const RETRY_MS = 1000;

/**
 * After a state file that made no sense: what runs under this service's label is wanted again. Each backend is asked until
 * it has told all; until then nothing of it may be taken for an orphan, and no server of it is shared with what is
 * not known. How far that is, is on disk with what was taken up.
 */
@Injectable()
export class Adoption {
  private readonly due = new Map<string, Runner>();
  private readonly attempts = new Map<string, Promise<void>>();
  private readonly troubles = new Map<string, string>();
  private readonly ending = new AbortController();
  private readonly retries = new Map<string, NodeJS.Timeout>();
  /** Resolves when it is known which backends there are to ask that the configuration does not offer any more. */
  private lookedForFormer: Promise<void> = Promise.resolve();

  constructor(
    private readonly catalog: Catalog,
    private readonly store: DesiredStateStore,
    private readonly deployments: Deployments,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Once the state has been read. Waits for no backend. */
  begin(): void {
    const { adoption } = this.store;
    if (!adoption) return;
    this.beginAll();
    this.lookedForFormer = this.catalog
      .lookForFormer(this.ending.signal)
      .catch(() => undefined) // this service ends
      .then(() => {
        if (!this.ending.signal.aborted) this.beginAll();
      });
  }

  /** What runs of this backend is not all known yet. */
  isDue(backend: string): boolean {
    const { adoption } = this.store;
    return this.due.has(backend) || (adoption !== undefined && !adoption.done.includes(backend));
  }

  /**
   * For a command on a model that the configuration does not have: any backend may serve it.
   * @throws AdoptionPendingError like `settled`
   */
  async allSettled(): Promise<void> {
    await this.lookedForFormer;
    for (const backend of [...this.due.keys()]) await this.settled(backend);
  }

  /**
   * For a command: what runs is known from here on.
   * @throws AdoptionPendingError when it cannot be told so soon
   */
  async settled(backend: string): Promise<void> {
    const runner = this.due.get(backend);
    if (!runner) return;
    // Late or not, what counts is whether it is still due.
    await within({ ms: ATTEMPT_TIMEOUT_MS }, () => this.attempt(runner)).catch(() => undefined);
    if (!this.due.has(backend) || this.ending.signal.aborted) return;
    throw new AdoptionPendingError(
      `The state of this service was lost, and what ${backend} serves has not been taken up yet: ${this.troubles.get(backend) ?? 'no answer so far'}. Nothing was changed; it is tried all the time: mend that, or try again.`,
      { backend },
    );
  }

  /** Nothing of it runs any more afterwards; what was not taken up is by the next run of the service. */
  async close(): Promise<void> {
    this.ending.abort(new Error('this service is shutting down'));
    for (const retry of this.retries.values()) clearTimeout(retry);
    await this.lookedForFormer;
    await Promise.all(this.attempts.values());
  }

  private beginAll(): void {
    for (const runner of this.catalog.allRunners) {
      const { backend } = runner;
      if (this.due.has(backend) || this.store.adoption?.done.includes(backend) !== false) continue;
      this.due.set(backend, runner);
      void this.attempt(runner);
    }
  }

  /** One at a time per backend; another follows until one has succeeded. Never rejects. */
  private attempt(runner: Runner): Promise<void> {
    const { backend } = runner;
    const underWay = this.attempts.get(backend);
    if (underWay) return underWay;
    clearTimeout(this.retries.get(backend));
    const attempt = this.takeUpAll(runner)
      .catch((error: unknown) => {
        this.failed(runner, error);
      })
      .finally(() => this.attempts.delete(backend));
    this.attempts.set(backend, attempt);
    return attempt;
  }

  private async takeUpAll(runner: Runner): Promise<void> {
    const { backend } = runner;
    const { deployments, unclear } = await within(
      { ms: ATTEMPT_TIMEOUT_MS, signal: this.ending.signal },
      (limit) => runner.adoptable(limit),
    );
    // In one write: of a server that models share, all are wanted or none.
    await Promise.all(deployments.map((deployment) => this.deployments.takeUp(runner, deployment)));
    if (unclear !== undefined) throw new Error(unclear);
    await this.done(backend);
    this.due.delete(backend);
    this.logger[deployments.length > 0 ? 'warn' : 'info'](
      { model_type: backend, models: deployments.map(({ modelName }) => modelName) },
      'The state was lost: all that runs of this backend has been taken up',
    );
  }

  /** The last one ends it. */
  private async done(backend: string): Promise<void> {
    await this.lookedForFormer;
    const done = [...(this.store.adoption?.done ?? []), backend];
    const isAll = this.catalog.allRunners.every((runner) => done.includes(runner.backend));
    await this.store.putAdoption(isAll ? undefined : { done });
  }

  private failed(runner: Runner, error: unknown): void {
    if (this.ending.signal.aborted) return;
    const { backend } = runner;
    const retry = setTimeout(() => void this.attempt(runner), RETRY_MS);
    this.retries.set(backend, retry.unref());
    const level = this.troubles.has(backend) ? 'debug' : 'error';
    this.troubles.set(backend, messageOf(error));
    this.logger[level](
      { err: error, model_type: backend },
      'The state was lost, and what runs of this backend cannot be told: nothing of it is removed, and it is asked again',
    );
  }
}
