import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { type Aspect, ASPECTS } from '../../runners/aspects.js';
import { PLACEMENT_STATUSES, type PlacementStatus } from '../deployment/placement-state.js';

/** Why a placement is in ERROR. */
export class PlacementErrorInfo {
  @ApiProperty({
    description: 'Stable code; docs/errors.md lists all. 错误代码',
    example: 'MODEL_LOAD_FAILED',
  })
  code!: string;

  @ApiProperty({ description: "The cause, in the backend's words where it has any. 错误原因" })
  message!: string;

  @ApiPropertyOptional({ description: "The server's last log lines. 服务器最后的日志", type: [String] })
  log?: string[];
}

/** A placement on one of its GPUs. */
export class PlacementItem {
  @ApiProperty({ description: 'GPU, by its NVML index. GPU设备ID', example: 0, type: 'integer' })
  gpu_id!: number;

  @ApiPropertyOptional({
    description:
      'All GPUs that the placement holds, where these are more than one: each has an entry. 该部署占用的所有GPU',
    type: 'integer',
    isArray: true,
    example: [0, 1],
  })
  gpu_ids?: number[];

  @ApiProperty({
    description: 'Status of this placement. 状态',
    enum: PLACEMENT_STATUSES,
    example: 'RUNNING',
  })
  status!: PlacementStatus;

  @ApiPropertyOptional({ description: 'Where status is ERROR. 错误', type: PlacementErrorInfo })
  error?: PlacementErrorInfo;

  @ApiPropertyOptional({
    description:
      'How far a start, a drain, a stop, a sleep or a wake is, in words. 启动、停止、休眠或唤醒的进度',
    example: 'loading MAM',
  })
  progress?: string;

  @ApiPropertyOptional({
    description:
      'Where it sleeps: its server runs, has given back GPU memory, and answers no requests until it is woken. 休眠中',
    enum: [true],
    type: 'boolean',
  })
  sleeping?: true;

  @ApiPropertyOptional({
    description:
      'Where its server was launched under another configuration than that of now: in what they differ (`args`: command, ports, mounts; `limits`: memory, shared memory, ulimits). It serves on as it was launched, until it is launched anew. 与当前配置不一致的方面',
    enum: ASPECTS,
    isArray: true,
    example: ['image'],
  })
  outdated?: Aspect[];
}

/** The seed's `ModelStatusItem`: one placement on one of its GPUs. */
export class ModelStatusItem extends PlacementItem {
  @ApiProperty({ description: 'Model. 模型名称', example: 'MAM' })
  model_name!: string;

  @ApiProperty({ description: 'Backend. 模型类型', example: 'triton' })
  model_type!: string;
}

/** One GPU's share of a `ModelInstanceInfo`. */
export class PlacementInfo extends PlacementItem {
  @ApiProperty({
    description: "Host pid of the server's main process, while there is one. 进程ID",
    example: 12345,
    type: 'integer',
    nullable: true,
  })
  pid!: number | null;

  @ApiProperty({
    description: 'HTTP port of the server, once there is one. 端口',
    example: 8000,
    type: 'integer',
    nullable: true,
  })
  port!: number | null;
}

/** What a stop did to the memory of its GPU. */
export class ReleasedMemoryInfo {
  @ApiProperty({
    description:
      "MiB that the server's processes held on this GPU before the stop and hold no more. 已释放显存",
    example: 8192,
    type: 'integer',
  })
  released_mb!: number;

  @ApiProperty({
    description:
      "MiB of what they held before the stop that they still hold: 0 when the server has ended; else its other models' memory, and what the server keeps for itself. 仍被服务器占用的显存",
    example: 0,
    type: 'integer',
  })
  held_mb!: number;
}

/** The seed's `ModelInstanceInfo`: all of one model. */
export class ModelInstanceInfo {
  @ApiProperty({ description: 'Model. 模型名称', example: 'MAM' })
  model_name!: string;

  @ApiProperty({ description: 'Backend. 模型类型', example: 'triton' })
  model_type!: string;

  @ApiProperty({
    description: 'GPUs on which it runs or starts. 活跃的GPU设备ID',
    example: [0],
    type: 'integer',
    isArray: true,
  })
  active_gpu_ids!: number[];

  @ApiProperty({
    description: 'Execution instances: active GPUs × instances per GPU. 实例总数',
    example: 8,
    type: 'integer',
  })
  total_instances!: number;

  @ApiProperty({
    description:
      'STARTING if any placement is, else RUNNING if any is, else ERROR if any is, else STOPPED. 状态',
    enum: PLACEMENT_STATUSES,
    example: 'STARTING',
  })
  status!: PlacementStatus;

  @ApiProperty({
    description: 'Host pid of the server on the GPU the call was about. 进程ID',
    example: 12345,
    type: 'integer',
    nullable: true,
  })
  pid!: number | null;

  @ApiProperty({
    description: 'HTTP port of the server on the GPU the call was about. 端口',
    example: 8000,
    type: 'integer',
    nullable: true,
  })
  port!: number | null;

  @ApiProperty({ description: 'UTC. 创建时间', example: '2024-01-01T00:00:00.000Z', format: 'date-time' })
  created_at!: string;

  @ApiProperty({ description: 'UTC. 更新时间', example: '2024-01-01T00:00:00.000Z', format: 'date-time' })
  updated_at!: string;

  @ApiProperty({ description: 'Each GPU by itself. 每个GPU的状态', type: [PlacementInfo] })
  placements!: PlacementInfo[];

  @ApiPropertyOptional({
    description:
      "In the answer to a stop: what became of the server's memory on its GPUs; null where that is not known. 停止后的显存释放情况",
    type: ReleasedMemoryInfo,
    nullable: true,
  })
  gpu_memory?: ReleasedMemoryInfo | null;
}
