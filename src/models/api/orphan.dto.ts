import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { PlacementErrorInfo } from './model-responses.dto.js';
import { toErrorInfo } from './views.js';
import type { Orphan } from '../watch/backend-orphans.js';

/** A server, or a model in one, that nobody wants. */
export class OrphanInfo {
  @ApiProperty({
    description: 'A whole server, or one model in a server that others need. 类型',
    enum: ['server', 'model'],
  })
  kind!: 'server' | 'model';

  @ApiProperty({ description: 'Backend. 模型类型', example: 'triton' })
  model_type!: string;

  @ApiProperty({ description: 'Container or process name. 服务器名称', example: 'triton_server' })
  server_name!: string;

  @ApiProperty({ description: 'What runs it. 启动方式', enum: ['docker', 'process'] })
  launcher!: 'docker' | 'process';

  @ApiProperty({ description: 'Where it is a container. 容器ID', type: 'string', nullable: true })
  container_id!: string | null;

  @ApiProperty({
    description: "Host pid of the server's main process while it runs. 进程ID",
    example: 12345,
    type: 'integer',
    nullable: true,
  })
  pid!: number | null;

  @ApiProperty({ description: 'false: a container that has ended and was not removed. 是否在运行' })
  running!: boolean;

  @ApiProperty({
    description: 'Models loaded there; null where the server does not tell. 已加载的模型',
    type: [String],
    nullable: true,
  })
  models!: string[] | null;

  @ApiProperty({
    description: 'When this service first saw it. 发现时间',
    type: 'string',
    format: 'date-time',
  })
  since!: string;

  @ApiProperty({
    description: 'When it is removed unless somebody wants it by then; null: never. 移除时间',
    type: 'string',
    format: 'date-time',
    nullable: true,
  })
  removal_due!: string | null;

  @ApiPropertyOptional({
    description: 'Why it could not be removed so far; tried again. 移除失败的原因',
    type: PlacementErrorInfo,
  })
  error?: PlacementErrorInfo;
}

/** An orphan as the API shows it. */
export function toOrphanInfo({ backend, what, since, removalDue, error }: Orphan): OrphanInfo {
  return {
    kind: what.model === undefined ? 'server' : 'model',
    model_type: backend,
    server_name: what.serverName,
    launcher: what.launcher,
    container_id: what.launcher === 'docker' ? what.serverId : null,
    pid: what.pid,
    running: what.running,
    models: what.models && [...what.models],
    since: since.toISOString(),
    removal_due: removalDue?.toISOString() ?? null,
    ...(error && { error: toErrorInfo(error, since) }),
  };
}
