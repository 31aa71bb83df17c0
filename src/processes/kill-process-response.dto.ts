import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';

/** The seed's `KillProcessResponse`. Errors come as every other error does. */
export class KillProcessResponse {
  @ApiProperty({ description: 'The process. 进程ID', example: 12345, type: 'integer' })
  pid!: number;

  @ApiProperty({ description: 'It is gone. 进程已终止', enum: ['killed'], example: 'killed' })
  status!: 'killed';

  @ApiPropertyOptional({
    description: 'What there is to know about it. 附加信息',
    example: 'It did not end on SIGTERM within 3 s, and was ended by SIGKILL.',
  })
  message?: string;
}
