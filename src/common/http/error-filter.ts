import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Inject } from '@nestjs/common';
import type { Request, Response } from 'express';
import { DomainError, type ErrorKind } from '../errors.js';
import { LOGGER, type Logger } from '../logging/logger.js';
import { noteRefusal } from '../logging/request-log.js';
import { allowedMethods } from './allowed-methods.js';

/** The body of every error answer. */
interface ErrorBody {
  readonly detail: string;
  readonly code: string;
}

interface ErrorAnswer {
  readonly status: number;
  readonly body: ErrorBody;
  /** The header of that name. */
  readonly allow?: string;
}

const STATUS_OF = {
  invalid: 400,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  internal: 500,
  not_implemented: 501,
  unavailable: 503,
} satisfies Record<ErrorKind, number>;

const CODE_OF_STATUS: Readonly<Record<number, string>> = {
  400: 'BAD_REQUEST',
  404: 'ROUTE_NOT_FOUND',
  408: 'REQUEST_TIMEOUT',
  413: 'BODY_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
};

/** Longest name of a model, characters, that a request's log line repeats. */
const MAX_LOGGED_NAME = 128;

/** The one place where an error becomes an HTTP answer. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  constructor(@Inject(LOGGER) private readonly logger: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    const { status, body, allow } = this.answerTo(error, request);
    // 501 is an answer like a 400: what was asked for is not there, and nothing has gone wrong.
    if (status >= 500 && status !== STATUS_OF.not_implemented) {
      const facts = error instanceof DomainError ? error.facts : {};
      this.logger.error({ err: error, code: body.code, facts, request: request.id }, body.detail);
    }
    // The client may have been answered, or be gone, before this error came up.
    if (response.headersSent || response.destroyed) return;
    if (allow) response.setHeader('Allow', allow);
    noteRefusal(response, { code: body.code, ...modelIn(request) });
    response.status(status).json(body);
  }

  private answerTo(error: unknown, request: Request): ErrorAnswer {
    if (error instanceof DomainError) {
      return { status: STATUS_OF[error.kind], body: { detail: error.message, code: error.code } };
    }
    const status = statusOf(error);
    // What terminus throws for a probe that finds this service not ready.
    if (status === 503) {
      return {
        status,
        body: { detail: 'Not ready: this service is starting or shutting down.', code: 'NOT_READY' },
      };
    }
    if (status === undefined || status >= 500) {
      return {
        status: 500,
        body: { detail: 'Internal error: the log of this service has the cause.', code: 'INTERNAL_ERROR' },
      };
    }
    const allowed = status === 404 ? allowedMethods(request) : [];
    if (allowed.length > 0) return wrongMethod(request, allowed.join(', '));
    return {
      status,
      body: { detail: detailOf(error, status, request), code: CODE_OF_STATUS[status] ?? 'BAD_REQUEST' },
    };
  }
}

/** The model that a request names, in its body or its path; a request that came to no route has neither. */
function modelIn(request: Partial<Pick<Request, 'params'>> & { readonly body?: unknown }): {
  model_name?: string;
} {
  const { body, params } = request;
  const inBody = body instanceof Object && 'model_name' in body ? body.model_name : undefined;
  const named: unknown = inBody ?? params?.model_name;
  return typeof named === 'string' ? { model_name: named.slice(0, MAX_LOGGED_NAME) } : {};
}

/** The status that Nest, Express or its body parser has given to an error. */
function statusOf(error: unknown): number | undefined {
  if (error instanceof HttpException) return error.getStatus();
  if (error instanceof URIError) return 400;
  if (error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number')
    return error.statusCode;
  return undefined;
}

/** The path is known, and not with this method. */
function wrongMethod({ method, path }: Request, allow: string): ErrorAnswer {
  const status = 405;
  const detail = `${method} is no method of ${path.slice(0, 200)}: it takes ${allow}. /docs lists all paths.`;
  return { status, body: { detail, code: 'METHOD_NOT_ALLOWED' }, allow };
}

function detailOf(error: unknown, status: number, request: Request): string {
  if (status === 404)
    return `No such route: ${request.method} ${request.path.slice(0, 200)}. /docs lists all of them.`;
  if (status === 413) return 'The request body is too large: server.body_limit_kb is the limit.';
  return error instanceof Error ? error.message : 'The request cannot be understood.';
}
