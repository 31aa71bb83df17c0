import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import {
  IsBoolean,
  IsInt,
  IsNotEmpty,
  IsObject,
  IsOptional,
  IsString,
  Max,
  MaxLength,
  Min,
  ValidateBy,
  ValidateIf,
} from 'class-validator';

/** Far beyond any host; keeps what is no GPU id out early. */
const MAX_GPU_ID = 1023;
const MAX_NAME_LENGTH = 128;
const MAX_DRAIN_SECONDS = 3600;

/** `true` does not go with a value of `other`. */
function NotWith(other: string): PropertyDecorator {
  return ValidateBy({
    name: 'notWith',
    validator: {
      validate: (value, at) => value !== true || (at?.object as Record<string, unknown>)[other] === undefined,
      defaultMessage: () => `$property and ${other} do not go together`,
    },
  });
}

/** One placement, by model and GPU. */
export class PlacementRequest {
  @ApiProperty({
    description:
      'Name of a supported model; its backend is known from the configuration. 模型名称，必须是配置中支持的模型',
    example: 'MAM',
    maxLength: MAX_NAME_LENGTH,
  })
  @IsString()
  @IsNotEmpty()
  @MaxLength(MAX_NAME_LENGTH)
  model_name!: string;

  @ApiProperty({
    description: 'GPU, by its NVML index (PCI bus order). 目标GPU设备ID（≥0）',
    example: 0,
    type: 'integer',
    minimum: 0,
    maximum: MAX_GPU_ID,
  })
  @IsInt()
  @Min(0)
  @Max(MAX_GPU_ID)
  gpu_id!: number;

  @ApiPropertyOptional({
    description:
      'For older clients: the backend is known from the configuration, and this has to agree with it. 兼容旧客户端：必须与配置中的后端一致',
    example: 'triton',
    type: String,
    maxLength: MAX_NAME_LENGTH,
    nullable: true,
  })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_NAME_LENGTH)
  model_type?: string | null;
}

/** The seed's `StopRequest`. */
export class StopRequest extends PlacementRequest {
  @ApiPropertyOptional({
    description:
      'UUID of the GPU, as the status shows it beside `gpu_id`: only the placement on that GPU is stopped. Where a GPU is gone, the index it had may be that of another by now; left out, whoever has the index now is stopped first. GPU唯一标识：仅停止该GPU上的部署位置',
    example: 'GPU-5f3c1d2e-8b7a-4c6d-9e0f-1a2b3c4d5e6f',
    maxLength: MAX_NAME_LENGTH,
  })
  @ValidateIf((_, value) => value !== undefined)
  @IsString()
  @IsNotEmpty()
  @MaxLength(MAX_NAME_LENGTH)
  gpu_uuid?: string;

  @ApiPropertyOptional({
    description:
      'Seconds the backend may at the most work on its requests before the model is taken away; left out, `drain_seconds` of the configuration. A further stop of a placement that drains can shorten this, not lengthen it. Not together with `force`. 停止前等待请求处理完成的最长时间（秒）',
    example: 30,
    type: 'integer',
    minimum: 0,
    maximum: MAX_DRAIN_SECONDS,
  })
  @ValidateIf((_, value) => value !== undefined)
  @IsInt()
  @Min(0)
  @Max(MAX_DRAIN_SECONDS)
  drain_seconds?: number;

  @ApiPropertyOptional({
    description:
      'Ends the server by force, at once, also where a stop is under way. Requests in flight are lost. So are the other models of that server, and this one on its other GPUs, until they are brought back by themselves. 强制停止：立即结束服务器，同一服务器上的其他模型会中断并自动恢复',
    example: false,
    type: 'boolean',
    default: false,
  })
  @ValidateIf((_, value) => value !== undefined)
  @IsBoolean()
  @NotWith('drain_seconds')
  force?: boolean;
}

/** The seed's `StartRequest`. The document's `config` gets the options of every backend (`src/openapi.ts`). */
export class StartRequest extends PlacementRequest {
  @ApiPropertyOptional({
    description:
      'Options of the backend; left out, a model starts with what the configuration says. 后端特定的配置选项（可选）',
    example: {},
    type: 'object',
    additionalProperties: true,
    nullable: true,
  })
  @IsOptional()
  @IsObject()
  config?: Record<string, unknown> | null;
}
