import { json, type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { DomainError } from '../errors.js';

/** The body has no, or another, content type than JSON. */
export class ContentTypeError extends DomainError {
  readonly code = 'UNSUPPORTED_CONTENT_TYPE';
  readonly kind = 'invalid';
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
  return [requireJson, json({ limit: limitKb * 1024, strict: true })];
}
