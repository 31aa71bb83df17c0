import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiResponse } from '@nestjs/swagger';

/** Body of every error answer. */
export class ErrorResponse {
  @ApiProperty({
    description: 'What went wrong, with what, and what to do. 错误描述信息',
    example: 'Error in words',
  })
  detail!: string;

  @ApiProperty({
    description: 'Stable code of the error; docs/errors.md lists all. 错误代码',
    example: 'MODEL_UNKNOWN',
  })
  code!: string;
}

/** Documents the error answers of a route: status → when. */
export function ApiErrors(errors: Readonly<Record<number, string>>): MethodDecorator & ClassDecorator {
  return applyDecorators(
    ...Object.entries(errors).map(([status, description]) =>
      ApiResponse({ status: Number(status), description, type: ErrorResponse }),
    ),
  );
}
