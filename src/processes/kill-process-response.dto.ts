import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';

/** A process that an end would hit. */
export class ProcessToEnd {
  @ApiProperty({ description: 'Process id on the host. 进程ID', example: 12345, type: 'integer' })
  pid!: number;

  @ApiProperty({ description: 'Name of the process. 进程名称', example: 'tritonserver' })
  name!: string;
}

/** The seed's `KillProcessResponse`. Errors come as every other error does. */
export class KillProcessResponse {
  @ApiProperty({ description: 'The process. 进程ID', example: 12345, type: 'integer' })
  pid!: number;

  @ApiProperty({
    description: 'killed: it is gone; dry_run: nothing was done. 进程已终止 / 试运行',
    enum: ['killed', 'dry_run'],
    example: 'killed',
  })
  status!: 'killed' | 'dry_run';

  @ApiPropertyOptional({
    description: 'What there is to know about it. 附加信息',
    example: 'It did not end on SIGTERM within 3 s, and was ended by SIGKILL.',
  })
  message?: string;

  @ApiPropertyOptional({
    description:
      'Placements of the server that it belongs to, "model@gpu_id": in ERROR now, or with dry_run those that would be. 受影响的部署位置',
    type: [String],
    example: ['MAM@0'],
  })
  placements?: string[];

  @ApiPropertyOptional({
    description:
      'With dry_run: every process that would end; `message` says where that cannot all be told. 将被终止的进程',
    type: [ProcessToEnd],
  })
  processes?: ProcessToEnd[];

  @ApiPropertyOptional({
    description: 'With dry_run: its Docker container; null outside containers. 所在容器',
    type: String,
    nullable: true,
  })
  container?: string | null;

  @ApiPropertyOptional({
    description: 'With dry_run: name of the user it runs as. 所属用户',
    type: String,
    nullable: true,
  })
  owner?: string | null;
}
