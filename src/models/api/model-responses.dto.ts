import { ApiProperty, ApiPropertyOptional, type ApiPropertyOptions } from '@nestjs/swagger';
import { type Aspect, ASPECTS } from '../../runners/aspects.js';
import { PLACEMENT_STATUSES, type PlacementStatus } from '../deployment/placement-state.js';

const PORTS: ApiPropertyOptions = {
  description:
    'Where the server has several ports (`ports` of a model of the backend http): all of them by name; `http` is `port`. 各端口（按名称）',
  type: 'object',
  additionalProperties: { type: 'integer' },
  example: { http: 18500, grpc: 18501, metrics: 18502 },
};

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

  @ApiProperty({ description: 'When it came up, UTC. 发生时间', format: 'date-time' })
  at!: string;
}

/** How a placement that served was lost. */
export class CrashInfo {
  @ApiProperty({ description: 'When it was seen, UTC. 发生时间', format: 'date-time' })
  at!: string;

  @ApiProperty({
    description: 'How its server ended, or what else was found. 原因',
    example: 'triton_server ended with exit code 137',
  })
  message!: string;

  @ApiProperty({
    description:
      "The server's last lines before it was launched anew: 20 at the most, of 500 characters. 服务器最后的日志",
    type: [String],
  })
  log!: string[];
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

  @ApiPropertyOptional({
    description:
      'Where status is RUNNING, and requests fail or do not get on: the reason. What stays so is loaded or started anew by itself. 推理异常的原因',
    example: 'no request has succeeded for 300 s, and 12 have failed in the backend',
  })
  degraded?: string;

  @ApiProperty({
    description: 'UUID of this GPU; null while the GPUs have not been read. GPU唯一标识',
    type: String,
    nullable: true,
    example: 'GPU-5f3c1d2e-8b7a-4c6d-9e0f-1a2b3c4d5e6f',
  })
  gpu_uuid!: string | null;

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

  @ApiPropertyOptional(PORTS)
  ports?: Record<string, number>;

  @ApiProperty({
    description: 'What it was started with, defaults filled in; all GPUs of a model share it. 启动选项',
    type: 'object',
    additionalProperties: true,
    example: { instances_per_gpu: 8 },
  })
  options!: Record<string, unknown>;

  @ApiProperty({
    description:
      'When it came into its present status, UTC. It is the same after a restart of this service, where the placement served on. 进入当前状态的时间',
    format: 'date-time',
    example: '2024-01-01T00:00:00.000Z',
  })
  since!: string;

  @ApiProperty({
    description:
      'How many times it was started anew by itself (its server launched, or in a shared server the model loaded) since its start was accepted: after each loss while it was RUNNING, and after each try in vain. 自动重启次数',
    example: 0,
    type: 'integer',
    minimum: 0,
  })
  restarts!: number;

  @ApiPropertyOptional({
    description:
      'The last time that it was lost while it was RUNNING, since its start was accepted. 最近一次崩溃',
    type: CrashInfo,
  })
  last_crash?: CrashInfo;
}

const MODEL_NAME: ApiPropertyOptions = { description: 'Model. 模型名称', example: 'MAM' };

const MODEL_TYPE: ApiPropertyOptions = { description: 'Backend. 模型类型', example: 'triton' };

const IN_CATALOG: ApiPropertyOptions = {
  description:
    'false: the configuration does not have this model in this backend any more. What serves goes on until it is stopped, and is not brought back if it dies. Left out of models that the configuration has. 配置中已不再包含该模型',
  enum: [false],
  type: 'boolean',
};

/** The seed's `ModelStatusItem`: one placement on one of its GPUs. */
export class ModelStatusItem extends PlacementItem {
  @ApiProperty(MODEL_NAME)
  model_name!: string;

  @ApiProperty(MODEL_TYPE)
  model_type!: string;

  @ApiPropertyOptional(IN_CATALOG)
  in_catalog?: false;
}

/** One GPU's share of a `ModelInstanceInfo`. */
export class PlacementInfo extends PlacementItem {}

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
  @ApiProperty(MODEL_NAME)
  model_name!: string;

  @ApiProperty(MODEL_TYPE)
  model_type!: string;

  @ApiPropertyOptional(IN_CATALOG)
  in_catalog?: false;

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

  @ApiPropertyOptional(PORTS)
  ports?: Record<string, number>;

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

  @ApiPropertyOptional({
    description:
      'In the answer to a stop with a drain: whether all requests were worked off, as far as the backend counts them. 停止前请求是否已全部处理完成',
    example: true,
  })
  drained?: boolean;

  @ApiPropertyOptional({
    description: 'Where `drained` is false: why, in one sentence. 未完成排空的原因',
    example: '3 requests were still open when the 60 s of the drain were over.',
  })
  drain_reason?: string;

  @ApiPropertyOptional({
    description:
      'In the answer to a stop: why it is not on disk yet, as where the disk is full. It is done, and written as soon as it can be; if this service dies before, its next run brings the model back. 停止已完成，但状态尚未写入磁盘的原因',
    example:
      'Cannot write the state to /var/lib/model-inference-client/desired-state.json: ENOSPC: no space left on device, write. It is done all the same, and written as soon as it can be; if this service dies before, its next run does not know of it. Free space or mend the directory.',
  })
  state_unsaved?: string;
}
