import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApp } from './app.js';
import { createLogger, type Logger } from './common/logging/logger.js';
import type { Config } from './config/schema.js';
import { holderInWords, isPortTaken, portHolders, portInUseMessage } from './host/ports.js';
import { PortInUseError } from './launchers/launcher.js';
import type { FullConfig } from './runners/backends.js';
import { ServerShutdown } from './models/supervisor/shutdown.js';
import { lockState } from './state/state-lock.js';

/** One running service. It owns its state directory, its log and its application, and lets go of all three. */
export class Service {
  private constructor(
    readonly config: FullConfig,
    readonly logger: Logger,
    private readonly app: NestExpressApplication,
    /** In the order of their release. */
    private readonly releases: readonly Release[],
  ) {}

  /**
   * Everything but the open port.
   * @throws StateLockedError, StateReadError, PortInUseError, LogFileError
   */
  static async create(config: FullConfig): Promise<Service> {
    const releases: Release[] = [];
    try {
      // Before the port: of two on one directory, the second is to hear who has the directory.
      releases.unshift(lockState(config));
      await requirePort(config.server);
      const { logger, close } = createLogger(config.log);
      releases.unshift(close);
      return new Service(config, logger, await createApp(config, logger), releases);
    } catch (error) {
      await releaseAll(releases);
      throw error;
    }
  }

  /** Starts the supervisor, then takes requests. */
  async listen(): Promise<void> {
    const { server, gpus } = this.config;
    await this.app.listen(server.port, server.host);
    const isSimulated = gpus.source === 'simulated';
    this.logger.info(
      { url: await this.app.getUrl(), gpus: gpus.source, ...(isSimulated && { simulated: true }) },
      `Model Inference Client is listening${isSimulated ? ', with SIMULATED GPUs' : ''}`,
    );
  }

  /** Lets go of the log, with all that was logged, and of the state directory; the application is left as it is. Never throws. */
  async letGo(): Promise<void> {
    await releaseAll(this.releases);
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
      await this.letGo();
    }
  }
}

type Release = () => void | Promise<void>;

async function releaseAll(releases: readonly Release[]): Promise<void> {
  for (const release of releases) await release();
}

/** @throws PortInUseError; before anything is launched, whereas listening comes last */
async function requirePort({ host, port }: Config['server']): Promise<void> {
  if (!(await isPortTaken(host, port))) return;
  throw new PortInUseError(portInUseMessage(port, holderInWords(await portHolders(port))), { port });
}
