import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiResponse } from '@nestjs/swagger';
import { ERROR_EXAMPLES, type ErrorCode } from './error-examples.js';

/** Body of every error answer. */
export class ErrorResponse {
  @ApiProperty({ description: 'What went wrong, with what, and what to do. 错误描述信息' })
  detail!: string;

  @ApiProperty({ description: 'Stable code of the error; docs/errors.md lists all. 错误代码' })
  code!: string;
}

/** When a route answers with a status, and the codes that it then has, the likeliest first. */
export type ErrorAnswer = readonly [when: string, ...codes: [ErrorCode, ...ErrorCode[]]];

/** What every route answers that takes a body. */
export const BODY_ERRORS = {
  413: ['The body is larger than `server.body_limit_kb`. 请求体过大', 'BODY_TOO_LARGE'],
  415: ['The body has a charset or encoding that is not supported. 不支持的编码', 'UNSUPPORTED_MEDIA_TYPE'],
} as const satisfies Record<number, ErrorAnswer>;

/** What makes a body invalid, whatever the route takes. */
export const INVALID_BODY = [
  'VALIDATION_FAILED',
  'INVALID_JSON',
  'BODY_TOO_DEEP',
  'UNSUPPORTED_CONTENT_TYPE',
] as const;

/** Documents the error answers of a route: status → when, and with which codes. */
export function ApiErrors(errors: Readonly<Record<number, ErrorAnswer>>): MethodDecorator & ClassDecorator {
  return applyDecorators(
    ...Object.entries(errors).map(([status, [description, ...codes]]) =>
      ApiResponse({
        status: Number(status),
        description,
        type: ErrorResponse,
        examples: Object.fromEntries(codes.map((code) => [code, exampleOf(code)])),
      }),
    ),
  );
}

function exampleOf(code: ErrorCode): { summary: string; value: ErrorResponse } {
  return { summary: code, value: { detail: ERROR_EXAMPLES[code], code } };
}
