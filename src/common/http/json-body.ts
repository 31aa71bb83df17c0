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

/** Objects and lists in the body are nested deeper than any request needs. */
export class BodyTooDeepError extends DomainError {
  readonly code = 'BODY_TOO_DEEP';
  readonly kind = 'invalid';

  constructor() {
    super(`The request body is nested too deep: ${MAX_DEPTH} levels of objects and lists are the limit.`);
  }
}

/** Of the objects and lists in a body. What comes after this may take a frame of the stack for each. */
const MAX_DEPTH = 32;

/** Keys that reach into an object's prototype: later layers drop them in silence, so they are refused here. */
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** What is wrong with a parsed body, if anything is. Goes level by level, not by recursion. */
function faultIn(body: unknown): DomainError | undefined {
  let level = [body].filter(isNested);
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return new BodyTooDeepError();
    const forbidden = level.flatMap((node) => Object.keys(node)).find((key) => FORBIDDEN_KEYS.has(key));
    if (forbidden !== undefined) return invalid(`the key "${forbidden}" is not allowed`);
    level = level.flatMap((node) => Object.values(node).filter(isNested));
  }
  return undefined;
}

function isNested(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function invalid(reason: string): InvalidJsonError {
  return new InvalidJsonError(`The request body is not valid JSON: ${reason}.`);
}

const WRITES: ReadonlySet<string> = new Set(['POST', 'DELETE']);

/** Parses JSON bodies up to `limitKb` KiB; a write in any other form is refused before a handler sees it. */
export function jsonBody(limitKb: number): RequestHandler[] {
  const requireJson = (request: Request, _response: Response, next: NextFunction): void => {
    const hasBody =
      request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length']) > 0;
    if (WRITES.has(request.method) && hasBody && !request.is('application/json')) {
      next(new ContentTypeError('Send the body as JSON, with the header Content-Type: application/json.'));
      return;
    }
    next();
  };
  // Without a reviver, which would be called by recursion.
  const parse = json({ limit: limitKb * 1024, strict: true });
  const parseOrSay: RequestHandler = (request, response, next) => {
    parse(request, response, (error?: unknown) => {
      const worded = error instanceof SyntaxError ? invalid(error.message) : error;
      next(worded ?? faultIn(request.body));
    });
  };
  return [requireJson, parseOrSay];
}
