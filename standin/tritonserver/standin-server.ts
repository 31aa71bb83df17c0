import type { Server as HttpServer } from 'node:http';
import type { Server as TcpServer } from 'node:net';
import { stat } from 'node:fs/promises';
import { inferenceApi, metricsApi } from './http-api.js';
import { ModelLifecycle } from './lifecycle.js';
import type { Log } from './log.js';
import type { ServerOptions } from './options.js';
import type { Pace } from './pace.js';
import { closeAndWait, closingServer, httpServer, listen } from './ports.js';
import { ModelRepositories } from './repository.js';
import type { StandinSettings } from './standin-settings.js';
import { TritonError, toTritonError } from './triton-error.js';

/** What the stand-in takes from its surroundings. */
export interface Surroundings {
  visibleGpus: readonly number[];
  defaults: StandinSettings;
  pace: Pace;
  log: Log;
}

/** A start that failed: the line in which `tritonserver` would say so. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/** The ports a server listens on. */
export interface Ports {
  http: number | undefined;
  grpc: number | undefined;
  metrics: number | undefined;
}

/** One stand-in: its lifecycle and its ports. */
export class StandinServer {
  readonly lifecycle: ModelLifecycle;
  private readonly http: HttpServer;
  private readonly metrics: HttpServer;
  private readonly grpc: TcpServer = closingServer();
  private readonly log: Log;

  constructor(
    private readonly options: ServerOptions,
    surroundings: Surroundings,
  ) {
    const { visibleGpus, defaults, pace, log } = surroundings;
    const repositories = new ModelRepositories(options.repositories, defaults);
    this.log = log;
    this.lifecycle = new ModelLifecycle(repositories, visibleGpus, pace, log);
    this.http = httpServer(inferenceApi(this.lifecycle, options.strictReadiness));
    this.metrics = httpServer(metricsApi(this.lifecycle));
  }

  /** Loads what the command line names, then opens the ports. Throws StartError. */
  async start(): Promise<Ports> {
    await this.checkRepositories();
    await this.loadAtStart();
    const { http, grpc, metrics } = this.options;
    return {
      grpc: grpc && (await this.open(this.grpc, grpc, 'GRPC', 'grpc_server.cc:2558', 'GRPCInferenceService')),
      http: http && (await this.open(this.http, http, 'HTTP', 'http_server.cc:4713', 'HTTPService')),
      metrics:
        metrics &&
        (await this.open(this.metrics, metrics, 'Metrics', 'http_server.cc:362', 'Metrics Service')),
    };
  }

  /**
   * Takes no more connections, waits for those there are, for loads at work and for requests in flight, and
   * unloads every model. Returns the exit code: 1 where the exit timeout passed before all models were gone.
   */
  async stop(): Promise<0 | 1> {
    const deadline = Date.now() + this.options.exitTimeoutSeconds * 1000;
    const left = (): number => Math.max(deadline - Date.now(), 0);
    this.grpc.close();
    this.log.info(
      'http_server.cc:248',
      `Timeout ${this.options.exitTimeoutSeconds}: waiting for HTTP connections`,
    );
    await within(closeAndWait(this.http), left());
    await this.lifecycle.loadsDone();
    const seconds = Math.floor(left() / 1000);
    this.log.info('server.cc:305', 'Waiting for in-flight requests to complete.');
    this.log.info(
      'server.cc:321',
      `Timeout ${seconds}: Found ${this.lifecycle.inFlight} in-flight inferences`,
    );
    this.log.info('server.cc:345', `Timeout ${seconds}: Found ${this.lifecycle.live} live models`);
    const clean = this.lifecycle.live === 0 || (await within(this.lifecycle.unloadAll(), left()));
    this.metrics.close();
    this.metrics.closeAllConnections();
    this.http.closeAllConnections();
    if (clean) return 0;
    this.log.error(
      'main.cc:535',
      'failed to stop server: Internal - Exit timeout expired. Exiting immediately.',
    );
    return 1;
  }

  private async checkRepositories(): Promise<void> {
    if (this.options.repositories.length === 0) {
      throw fatal(new TritonError('INVALID_ARG', '--model-repository must be specified'));
    }
    for (const path of this.options.repositories) {
      const found = await stat(path).catch(() => undefined); // whatever the reason, Triton says the same of it
      if (!found?.isDirectory()) throw fatal(new TritonError('INTERNAL', `failed to stat file ${path}`));
    }
  }

  private async loadAtStart(): Promise<void> {
    const wanted = this.options.loadModels;
    const names = wanted.includes('*') ? (await this.lifecycle.index()).map((row) => row.name) : wanted;
    const loads = await Promise.allSettled(names.map((name) => this.lifecycle.load(name)));
    const failed = loads.find((load) => load.status === 'rejected');
    if (failed && this.options.exitOnError) throw fatal(toTritonError(failed.reason));
  }

  private async open(
    server: TcpServer,
    endpoint: { address: string; port: number },
    service: string,
    place: string,
    title: string,
  ): Promise<number> {
    try {
      const port = await listen(server, endpoint);
      this.log.info(place, `Started ${title} at ${endpoint.address}:${port}`);
      return port;
    } catch (error) {
      const problem = `failed to start ${service} service: ${toTritonError(error).asFatal}`;
      this.log.error('main.cc:257', problem);
      throw new StartError(problem);
    }
  }
}

function fatal(error: TritonError): StartError {
  return new StartError(`error: creating server: ${error.asFatal}`);
}

/** True where the promise came to an end in time. */
async function within(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, milliseconds, false);
  });
  try {
    return await Promise.race([promise.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
