import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApp } from './app.js';
import { createLogger, type Logger, type ServiceLog } from './common/logging/logger.js';
import { HostChecks } from './checks/host-checks.service.js';
import type { FullConfig } from './runners/backends.js';
import { ServerShutdown } from './models/supervisor/shutdown.js';
import { addressError, requireAddress } from './own-address.js';
import { fileWork } from './common/files/file-work.js';
import { lockState } from './state/state-lock.js';
import { VERSION } from './version.js';

/** One running service. It owns its state directory, its log and its application, and lets go of all three. */
export class Service {
  private constructor(
    readonly config: FullConfig,
    private readonly log: ServiceLog,
    private readonly app: NestExpressApplication,
    private readonly unlockState: () => void,
    private readonly variables: ReadonlyMap<string, string>,
  ) {}

  /**
   * Everything but the open port.
   * @param variables the environment variables in use, by the dotted key of the configuration that each sets
   * @throws FilesStuckError, StateLockedError, StateReadError, PortInUseError, CannotListenError, LogFileError
   */
  static async create(
    config: FullConfig,
    variables: ReadonlyMap<string, string> = new Map(),
  ): Promise<Service> {
    await fileWork.requireAnswers([config.state.dir, ...(config.log.file === null ? [] : [config.log.file])]);
    // Before the port: of two on one directory, the second is to hear who has the directory.
    let full: unknown;
    const unlockState = lockState(config, (error) => (full = error));
    let log: ServiceLog | undefined;
    try {
      await requireAddress(config.server, variables);
      log = createLogger(config.log);
      if (full !== undefined) {
        log.logger.error(
          { err: full, dir: config.state.dir },
          'The disk of the state is full: what runs is watched and can be stopped, and every start is refused until there is room',
        );
      }
      return new Service(config, log, await createApp(config, log.logger), unlockState, variables);
    } catch (error) {
      await log?.close();
      unlockState();
      throw error;
    }
  }

  get logger(): Logger {
    return this.log.logger;
  }

  /** Starts the supervisor, then takes requests. @throws PortInUseError, CannotListenError */
  async listen(): Promise<void> {
    const { server, gpus } = this.config;
    await this.app.init();
    try {
      await this.app.listen(server.port, server.host);
    } catch (error) {
      // Somebody may have taken the port since it was looked at.
      throw await addressError(error, server, this.variables);
    }
    const isSimulated = gpus.source === 'simulated';
    this.logger.info(
      {
        version: VERSION,
        url: await this.app.getUrl(),
        gpus: gpus.source,
        ...(isSimulated && { simulated: true }),
      },
      `Model Inference Client is listening${isSimulated ? ', with SIMULATED GPUs' : ''}`,
    );
    void this.app.get(HostChecks).report();
  }

  /** Ends the log alone: resolves when all is written, or cannot be written in time. For an end that is out of order. */
  closeLog(): Promise<void> {
    return this.log.close();
  }

  /**
   * Ends the service; the policy of the configuration says whether its servers end, too. Never throws.
   * @returns false when it failed, or servers are left that should have ended; the log says what
   */
  async close(): Promise<boolean> {
    try {
      await this.app.close();
      const { failure } = this.app.get(ServerShutdown);
      if (failure) this.logger.error({ err: failure }, 'Shut down, and servers are left');
      else this.logger.info('Shut down');
      return !failure;
    } catch (error) {
      this.logger.error({ err: error }, 'The shutdown failed');
      return false;
    } finally {
      await this.closeLog();
      this.unlockState();
    }
  }
}
