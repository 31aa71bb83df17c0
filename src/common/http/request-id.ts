import { createParamDecorator, type ExecutionContext } from '@nestjs/common';

/** Id of the request, as its log line and the answer's `X-Request-Id` have it. */
export const RequestId = createParamDecorator(
  (_data: unknown, context: ExecutionContext): string =>
    context.switchToHttp().getRequest<{ readonly id: string }>().id,
);
