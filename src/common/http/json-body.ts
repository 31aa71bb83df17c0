import { json, type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { DomainError } from '../errors.js';

/** The body has no, or another, content type than JSON. */
export class ContentTypeError extends DomainError {
  readonly code = 'UNSUPPORTED_CONTENT_TYPE';
  readonly kind = 'invalid';
}

/** The body is not JSON. */
export class InvalidJsonError extends DomainError {
  readonly code = 'INVALID_JSON';
  readonly kind = 'invalid';
}

/** Keys that reach into an object's prototype: later layers drop them in silence, so they are refused here. */
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

function refuseForbiddenKeys(key: string, value: unknown): unknown {
  if (FORBIDDEN_KEYS.has(key)) throw new SyntaxError(`the key "${key}" is not allowed`);
  return value;
}

/** Parses JSON bodies up to `limitKb` KiB; a POST in any other form is refused before a handler sees it. */
export function jsonBody(limitKb: number): RequestHandler[] {
  const requireJson = (request: Request, _response: Response, next: NextFunction): void => {
    const hasBody =
      request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length']) > 0;
    if (request.method === 'POST' && hasBody && !request.is('application/json')) {
      next(new ContentTypeError('Send the body as JSON, with the header Content-Type: application/json.'));
      return;
    }
    next();
  };
  const parse = json({ limit: limitKb * 1024, strict: true, reviver: refuseForbiddenKeys });
  const parseOrSay: RequestHandler = (request, response, next) => {
    parse(request, response, (error?: unknown) => {
      next(
        error instanceof SyntaxError
          ? new InvalidJsonError(`The request body is not valid JSON: ${error.message}.`)
          : error,
      );
    });
  };
  return [requireJson, parseOrSay];
}
