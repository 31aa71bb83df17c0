import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsString, MaxLength, MinLength, ValidateIf } from 'class-validator';
import { GpuHealthInfo } from '../gpus.dto.js';

const MAX_REASON_LENGTH = 500;

export class CordonRequest {
  @ApiPropertyOptional({
    description: 'Why, for whoever looks at it later. 原因',
    minLength: 1,
    maxLength: MAX_REASON_LENGTH,
    example: 'its fan is to be replaced',
  })
  @ValidateIf((_, value) => value !== undefined)
  @IsString()
  @MinLength(1)
  @MaxLength(MAX_REASON_LENGTH)
  reason?: string;
}

/** A GPU, and whether models can be started on it. */
export class GpuHealthAnswer {
  @ApiProperty({ description: 'NVML index. GPU设备ID', type: 'integer', example: 0 })
  id!: number;

  @ApiProperty({
    description: 'UUID. GPU唯一标识',
    type: String,
    nullable: true,
    example: 'GPU-5f3c1d2e-8b7a-4c6d-9e0f-1a2b3c4d5e6f',
  })
  uuid!: string | null;

  @ApiProperty({ description: 'Whether models can be started on it. 健康状态', type: GpuHealthInfo })
  health!: GpuHealthInfo;
}
