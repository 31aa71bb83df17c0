import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsNotEmpty, IsObject, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';

/** Far beyond any host; keeps what is no GPU id out early. */
const MAX_GPU_ID = 1023;
const MAX_NAME_LENGTH = 128;

/** The seed's `StopRequest`: one placement, by model and GPU. */
export class StopRequest {
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
}

/** The seed's `StartRequest`. */
export class StartRequest extends StopRequest {
  @ApiPropertyOptional({
    description:
      'Options of the backend; left out, a model starts with what the configuration says. Triton: `instances_per_gpu` (1–256). 后端特定的配置选项（可选）',
    example: {},
    type: 'object',
    properties: { instances_per_gpu: { type: 'integer', minimum: 1, maximum: 256, example: 8 } },
    additionalProperties: false,
    nullable: true,
  })
  @IsOptional()
  @IsObject()
  config?: Record<string, unknown> | null;
}
