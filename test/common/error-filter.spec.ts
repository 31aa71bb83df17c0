import { jest } from '@jest/globals';
import {
  type ArgumentsHost,
  BadRequestException,
  InternalServerErrorException,
  NotFoundException,
  ServiceUnavailableException,
} from '@nestjs/common';
import { DomainError, type ErrorKind } from '../../src/common/errors.js';
import { ErrorFilter } from '../../src/common/http/error-filter.js';
import { InvalidJsonError } from '../../src/common/http/json-body.js';
import { recordingLogger } from '../fakes/house.js';

class SomeError extends DomainError {
  readonly code = 'SOME_CODE';

  constructor(readonly kind: ErrorKind) {
    super('what, which, and what to do', { pid: 7 });
  }
}

/** What the filter answers to an error, and what it logs. */
function answerTo(error: unknown, state: { headersSent?: boolean; destroyed?: boolean } = {}) {
  const { logger, lines } = recordingLogger();
  const json = jest.fn();
  const status = jest.fn(() => ({ json }));
  const response = { headersSent: false, destroyed: false, ...state, status };
  const request = { method: 'GET', path: '/nowhere', id: 'request-1' };
  const host = { switchToHttp: () => ({ getRequest: () => request, getResponse: () => response }) };
  new ErrorFilter(logger).catch(error, host as unknown as ArgumentsHost);
  return { status: status.mock.calls[0]?.[0 as never] as unknown, body: json.mock.calls[0]?.[0], lines };
}

/** As body-parser makes them. */
function parserError(message: string, statusCode: number, type: string): Error {
  return Object.assign(new Error(message), { statusCode, type });
}

describe('the error filter', () => {
  it.each([
    ['invalid', 400],
    ['forbidden', 403],
    ['not_found', 404],
    ['conflict', 409],
    ['internal', 500],
    ['not_implemented', 501],
    ['unavailable', 503],
  ] as const)('answers an error of kind %s with %d, its words and its code', (kind, status) => {
    const answer = answerTo(new SomeError(kind));
    expect(answer).toMatchObject({
      status,
      body: { detail: 'what, which, and what to do', code: 'SOME_CODE' },
    });
  });

  it('logs what is the fault of this side, with its facts, and nothing else', () => {
    expect(answerTo(new SomeError('internal')).lines).toMatchObject([
      { level: 50, code: 'SOME_CODE', facts: { pid: 7 }, request: 'request-1' },
    ]);
    expect(answerTo(new SomeError('not_found')).lines).toEqual([]);
  });

  it.each([
    ['a defect', new TypeError('x is undefined at /secret/path')],
    ['an exception of the framework', new InternalServerErrorException('secret')],
    ['no error at all', 'secret'],
    ['nothing', undefined],
  ])('answers %s with 500, and keeps the cause to the log', (_name, error) => {
    const { status, body, lines } = answerTo(error);
    expect(status).toBe(500);
    expect(body).toEqual({
      detail: 'Internal error: the log of this service has the cause.',
      code: 'INTERNAL_ERROR',
    });
    expect(lines).toHaveLength(1);
  });

  it.each([
    ['an unknown route', new NotFoundException(), 404, 'ROUTE_NOT_FOUND', /GET \/nowhere/],
    ['a refused request', new BadRequestException('no good'), 400, 'BAD_REQUEST', /no good/],
    ['a path that cannot be decoded', new URIError('URI malformed'), 400, 'BAD_REQUEST', /URI malformed/],
    [
      'a body that is no JSON',
      new InvalidJsonError('The request body is not valid JSON: Unexpected token.'),
      400,
      'INVALID_JSON',
      /not valid JSON/,
    ],
    [
      'a body that is too large',
      parserError('too large', 413, 'entity.too.large'),
      413,
      'BODY_TOO_LARGE',
      /limit/,
    ],
    ['an encoding nobody knows', parserError('charset', 415, 'x'), 415, 'UNSUPPORTED_MEDIA_TYPE', /charset/],
    ['a client that goes away', parserError('request aborted', 400, 'x'), 400, 'BAD_REQUEST', /aborted/],
    ['a probe that finds it not ready', new ServiceUnavailableException(), 503, 'NOT_READY', /Not ready/],
  ])('answers %s', (_name, error, status, code, detail) => {
    expect(answerTo(error)).toMatchObject({
      status,
      body: { code, detail: expect.stringMatching(detail) as unknown },
    });
  });

  it.each([{ headersSent: true }, { destroyed: true }])(
    'answers nobody who has an answer or is gone: %j',
    (state) => {
      expect(answerTo(new SomeError('internal'), state)).toMatchObject({
        status: undefined,
        body: undefined,
      });
    },
  );
});
