import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';

/** Why a start would be refused: the body it would be answered with. */
export class RefusalInfo {
  @ApiProperty({ description: 'One sentence: what, which, and what to do. 拒绝原因' })
  detail!: string;

  @ApiProperty({
    description: 'Stable code; docs/errors.md lists all. 错误代码',
    example: 'GPU_MEMORY_SHORT',
  })
  code!: string;
}

/** A placement that is in the way. */
export class PlacementInTheWay {
  @ApiProperty({ description: 'Model. 模型名称', example: 'MAM' })
  model_name!: string;

  @ApiProperty({ description: 'What it does there. 状态', enum: ['starting', 'running', 'leaving'] })
  state!: 'starting' | 'running' | 'leaving';

  @ApiProperty({
    description: 'What it takes at its peak, MiB; null where nobody knows. 峰值显存（MiB）',
    type: 'integer',
    nullable: true,
  })
  memory_mb!: number | null;
}

/** A process in the way that belongs to no server of this service. */
export class ProcessInTheWay {
  @ApiProperty({ description: 'Process id on the host. 进程ID', type: 'integer', example: 12345 })
  pid!: number;

  @ApiProperty({ description: 'Name of the process. 进程名称', example: 'python' })
  name!: string;

  @ApiProperty({
    description: 'GPU memory it holds, MiB; null where the driver does not tell. 显存（MiB）',
    type: 'integer',
    nullable: true,
  })
  memory_mb!: number | null;
}

/** Who would have to go first. */
export class InTheWay {
  @ApiProperty({ description: 'Placements of this service. 部署位置', type: [PlacementInTheWay] })
  placements!: PlacementInTheWay[];

  @ApiProperty({ description: 'Processes of others. 其他进程', type: [ProcessInTheWay] })
  processes!: ProcessInTheWay[];
}

/** One GPU as the model would find it. */
export class GpuRoomInfo {
  @ApiProperty({ description: 'GPU, by its NVML index. GPU设备ID', type: 'integer', example: 0 })
  gpu_id!: number;

  @ApiProperty({
    description:
      'It fits there, as far as memory, policies and what the backend can use go. What nobody knows is in nobody’s way. 是否容纳得下',
  })
  fits!: boolean;

  @ApiProperty({
    description:
      'MiB left for it beside what runs and starts; null where the GPU cannot be read. 剩余显存（MiB）',
    type: 'integer',
    nullable: true,
  })
  left_mb!: number | null;

  @ApiProperty({ description: 'Empty where it fits. 占用者', type: InTheWay })
  in_the_way!: InTheWay;

  @ApiPropertyOptional({ description: 'Where it does not fit. 原因', type: RefusalInfo })
  reason?: RefusalInfo;
}

/** What a start would come to. */
export class StartPlan {
  @ApiProperty({ description: 'Model. 模型名称', example: 'MAM' })
  model_name!: string;

  @ApiProperty({ description: 'Backend. 模型类型', example: 'triton' })
  model_type!: string;

  @ApiProperty({ description: 'GPU, by its NVML index. GPU设备ID', type: 'integer', example: 0 })
  gpu_id!: number;

  @ApiPropertyOptional({
    description: 'All GPUs that it would hold, where these are more than one. 占用的所有GPU',
    type: 'integer',
    isArray: true,
    example: [0, 1],
  })
  gpu_ids?: number[];

  @ApiProperty({ description: 'A start would be answered with 202 now. 是否会被接受' })
  accepted!: boolean;

  @ApiProperty({
    description:
      'start: it would start; nothing: it runs or starts there already; refuse: `reason` says why. 结果',
    enum: ['start', 'nothing', 'refuse'],
  })
  would!: 'start' | 'nothing' | 'refuse';

  @ApiPropertyOptional({ description: 'Where it would be refused. 原因', type: RefusalInfo })
  reason?: RefusalInfo;

  @ApiProperty({
    description: 'GPU memory one placement takes at its peak, MiB; null where nobody knows. 所需显存（MiB）',
    type: 'integer',
    nullable: true,
  })
  needs_mb!: number | null;

  @ApiProperty({
    description: 'How that is known: by gpu_memory_mb, by what it took earlier, or not at all. 来源',
    enum: ['configured', 'learned', 'unknown'],
  })
  needs_source!: 'configured' | 'learned' | 'unknown';

  @ApiProperty({ description: 'Every GPU of this host. 所有GPU', type: [GpuRoomInfo] })
  gpus!: GpuRoomInfo[];
}
