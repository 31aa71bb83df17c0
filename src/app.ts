import type { RequestListener, Server } from 'node:http';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import { boundConnections } from './common/http/connections.js';
import { ErrorFilter } from './common/http/error-filter.js';
import { polledReads } from './common/http/polled-reads.js';
import { answerRawErrors } from './common/http/raw-errors.js';
import { jsonBody } from './common/http/json-body.js';
import { KnownInput } from './common/http/known-input.js';
import { validationPipe } from './common/http/validation.js';
import type { Logger } from './common/logging/logger.js';
import { NestLogger } from './common/logging/nest-logger.js';
import { giveRequestId, requestLog } from './common/logging/request-log.js';
import type { FullConfig } from './runners/backends.js';
import { GpusController } from './gpus/gpus.controller.js';
import { ModelsController } from './models/api/models.controller.js';
import { serveDocs } from './openapi.js';

/** How often requests are looked at that take too long to arrive, ms; Node's own is 30 s. Read when listening. */
const CONNECTIONS_CHECKING_INTERVAL_MS = 500;

/** The whole service, ready to listen. */
export async function createApp(config: FullConfig, logger: Logger): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.forRoot(config, logger), {
    logger: new NestLogger(logger),
    bodyParser: false,
    abortOnError: false,
    forceCloseConnections: true,
  });
  app.disable('x-powered-by');
  app.use(...jsonBody(config.server.body_limit_kb));
  app.useGlobalGuards(new KnownInput());
  app.useGlobalPipes(validationPipe());
  app.useGlobalFilters(new ErrorFilter(logger));
  serveDocs(app);
  const server: Server = app.getHttpServer();
  standBefore(server, app, logger);
  server.requestTimeout = config.server.request_timeout_seconds * 1000;
  server.headersTimeout = config.server.request_timeout_seconds * 1000;
  server.keepAliveTimeout = config.server.keep_alive_timeout_seconds * 1000;
  boundConnections(server, { max: config.server.max_connections, silenceMs: server.requestTimeout }, logger);
  Object.assign(server, { connectionsCheckingInterval: CONNECTIONS_CHECKING_INTERVAL_MS });
  answerRawErrors(server);
  return app;
}

/**
 * What a request passes before Express: the log, and the reads that are polled. The line of such a read is for debugging, and is
 * not made where nobody would see it.
 */
function standBefore(server: Server, app: NestExpressApplication, logger: Logger): void {
  const [express] = server.listeners('request') as RequestListener[];
  if (!express) throw new Error('Express does not listen to requests');
  const [models, gpus] = [app.get(ModelsController), app.get(GpusController)];
  const log = requestLog(logger);
  const withLine: RequestListener = (request, response) => {
    log(request, response);
    express(request, response);
  };
  const reads = { '/api/v1/models/status': () => models.status({}), '/api/v1/gpus': () => gpus.list() };
  const isQuiet = !logger.isLevelEnabled('debug');
  server
    .removeAllListeners('request')
    .on('request', polledReads(reads, isQuiet ? giveRequestId : log, withLine));
}
