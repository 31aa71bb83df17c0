import { applyDecorators } from '@nestjs/common';
import { ApiOkResponse, ApiServiceUnavailableResponse } from '@nestjs/swagger';

const UP = { database: { status: 'up', responseTime: 12 } };
const DOWN = { redis: { status: 'down', message: 'Could not connect', responseTime: 3005 } };

/** Responses of a health check in the OpenAPI document. Terminus' own decorator loads a second Nest, for 1 s of CPU. */
export const ApiHealthResponses = (): MethodDecorator =>
  applyDecorators(
    ApiServiceUnavailableResponse({
      description: 'The Health Check is not successful',
      schema: resultSchema('error', ['error', 'shutting_down'], { info: UP, error: DOWN }),
    }),
    ApiOkResponse({
      description: 'The Health Check is successful',
      schema: resultSchema('ok', ['ok', 'degraded'], { info: UP, error: {} }),
    }),
  );

function resultSchema(
  example: string,
  statuses: readonly string[],
  { info, error }: { readonly info: object; readonly error: object },
) {
  return {
    type: 'object',
    properties: {
      status: { type: 'string', enum: [...statuses], example },
      info: { ...indicatorSchema(info), nullable: true },
      error: { ...indicatorSchema(error), nullable: true },
      details: indicatorSchema({ ...info, ...error }),
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
