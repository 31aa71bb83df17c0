import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';

/** A process that holds memory of a GPU. */
export class GpuProcessInfo {
  @ApiProperty({ description: 'Process id on the host. 进程ID', type: 'integer', example: 12345 })
  pid!: number;

  @ApiProperty({ description: 'Name of the process. 进程名称', example: 'tritonserver' })
  name!: string;

  @ApiProperty({
    description: 'GPU memory it holds, MiB; null where the driver does not tell. 进程占用的GPU内存（MiB）',
    type: 'integer',
    nullable: true,
    example: 4096,
  })
  gpu_memory_usage!: number | null;

  @ApiProperty({
    description:
      'Model it serves on this GPU; several of one shared server are separated by ", "; null for a process that serves none, or while managed is null. 所服务的模型名称',
    type: String,
    nullable: true,
    example: 'MAM',
  })
  model_name!: string | null;

  @ApiProperty({
    description:
      'Placement it serves on this GPU, "model@gpu_id"; several of one shared server are separated by ", "; null for a process that serves none, or while managed is null. 所属的部署位置',
    type: String,
    nullable: true,
    example: 'MAM@0',
  })
  placement!: string | null;

  @ApiProperty({
    description:
      'Name of the Docker container it runs in (its short id while the name is not known); null outside containers. 所在容器',
    type: String,
    nullable: true,
    example: 'triton_server',
  })
  container!: string | null;

  @ApiProperty({
    description: 'Name of the user it runs as; null where that cannot be seen. 所属用户',
    type: String,
    nullable: true,
    example: 'root',
  })
  owner!: string | null;

  @ApiProperty({
    description:
      'It belongs to a server of this service, by container, label or launch, whatever it calls itself; null while nobody can tell, because the Docker Engine does not answer. 是否由本服务管理（Docker 无响应、无法判断时为 null）',
    type: Boolean,
    nullable: true,
    example: true,
  })
  managed!: boolean | null;
}

const HEALTH_STATUSES = ['ok', 'unhealthy', 'cordoned'] as const;

/** Whether models can be started on a GPU. */
export class GpuHealthInfo {
  @ApiProperty({
    description:
      'ok; cordoned: nothing is started on it; unhealthy: a fault is there, and it is not cordoned: gpus.health.auto_cordon is off, or an operator has ended its cordon. 健康状态',
    enum: HEALTH_STATUSES,
    example: 'ok',
  })
  status!: (typeof HEALTH_STATUSES)[number];

  @ApiProperty({
    description: 'Why it is not ok; null where it is. 原因',
    type: String,
    nullable: true,
    example: null,
  })
  reason!: string | null;

  @ApiProperty({
    description: 'Since when, ISO 8601; null where it is ok. 起始时间',
    type: String,
    format: 'date-time',
    nullable: true,
    example: null,
  })
  since!: string | null;

  @ApiProperty({
    description: 'Who has cordoned it; null where nobody has. 由谁隔离',
    type: String,
    enum: ['operator', 'service', null],
    nullable: true,
    example: null,
  })
  by!: 'operator' | 'service' | null;
}

/** State of one GPU. A reading that the device does not give is null. */
export class GpuInfo {
  @ApiProperty({
    description: 'NVML index: PCI bus order, as nvidia-smi counts. GPU设备ID',
    type: 'integer',
    example: 0,
  })
  id!: number;

  @ApiProperty({
    description: 'Memory in use, percent of the total, one decimal. 内存使用率（%）',
    type: Number,
    nullable: true,
    example: 45.5,
  })
  memory_usage!: number | null;

  @ApiProperty({ description: 'Power draw, W. 功耗（W）', type: Number, nullable: true, example: 150.7 })
  power_draw!: number | null;

  @ApiProperty({
    description: 'Processes that hold memory of this GPU. 使用该GPU的进程',
    type: [GpuProcessInfo],
  })
  processes!: GpuProcessInfo[];

  @ApiProperty({
    description: 'UUID: the same after a reboot or a change of slots. GPU唯一标识',
    type: String,
    nullable: true,
    example: 'GPU-5f3c1d2e-8b7a-4c6d-9e0f-1a2b3c4d5e6f',
  })
  uuid!: string | null;

  @ApiProperty({ description: 'Product name. GPU型号', type: String, nullable: true, example: 'NVIDIA L4' })
  name!: string | null;

  @ApiProperty({ description: 'Memory, MiB. 总内存（MiB）', type: 'integer', nullable: true, example: 24576 })
  memory_total!: number | null;

  @ApiProperty({
    description: 'Memory in use, MiB, as nvidia-smi counts. 已用内存（MiB）',
    type: 'integer',
    nullable: true,
    example: 11182,
  })
  memory_used!: number | null;

  @ApiProperty({
    description: 'Time in which a kernel ran, percent. GPU利用率（%）',
    type: 'integer',
    nullable: true,
    example: 37,
  })
  utilization!: number | null;

  @ApiProperty({ description: 'Temperature, °C. 温度（°C）', type: 'integer', nullable: true, example: 54 })
  temperature!: number | null;

  @ApiProperty({
    description: 'Power limit in force, W. 功耗上限（W）',
    type: Number,
    nullable: true,
    example: 350,
  })
  power_limit!: number | null;

  @ApiProperty({
    description: 'true for an invented GPU (gpus.source: simulated). 是否为模拟GPU',
    example: false,
  })
  simulated!: boolean;

  @ApiPropertyOptional({
    description: 'Why this GPU, or some of its readings, could not be read. 读取失败原因',
    example: 'GPU 1 cannot be read: GPU is lost',
  })
  error?: string;

  @ApiProperty({ description: 'Whether models can be started on it. 健康状态', type: GpuHealthInfo })
  health!: GpuHealthInfo;
}
