import { applyDecorators } from '@nestjs/common';
import { ApiOkResponse } from '@nestjs/swagger';
import { ApiErrors, type ErrorAnswer } from '../common/http/api-errors.js';

/**
 * Responses of a health check in the OpenAPI document. Terminus' own decorator loads a second Nest, for 1 s of CPU.
 * @param up what it tells of, where it tells
 * @param unready when it is no success, in words, and the codes of that
 */
export const ApiHealthResponses = (
  up: Readonly<Record<string, { status: 'up' }>>,
  unready: ErrorAnswer = ['It is starting, or ending. 启动中或正在关闭', 'NOT_READY'],
): MethodDecorator =>
  applyDecorators(
    ApiOkResponse({ description: 'All is well. 正常', schema: resultSchema(up) }),
    ApiErrors({ 503: unready }),
  );

function resultSchema(up: object) {
  return {
    type: 'object',
    required: ['status', 'details'],
    properties: {
      status: { type: 'string', enum: ['ok', 'degraded'], example: 'ok' },
      info: { ...indicatorSchema(up), nullable: true },
      error: { ...indicatorSchema({}), nullable: true },
      details: indicatorSchema(up),
    },
  };
}

function indicatorSchema(example: object) {
  return {
    type: 'object',
    example,
    additionalProperties: {
      type: 'object',
      required: ['status'],
      properties: {
        status: { type: 'string', enum: ['up', 'degraded', 'down'] },
        responseTime: {
          type: 'number',
          description: 'Time the health indicator took to respond, in ms',
        },
      },
      additionalProperties: true,
    },
  };
}
