import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, ValidateIf } from 'class-validator';
import type { SleepLevel } from '../../runners/sleep.js';
import { PlacementRequest } from './start-request.dto.js';

const LEVELS = [1, 2] as const satisfies readonly SleepLevel[];

export class SleepRequest extends PlacementRequest {
  @ApiPropertyOptional({
    description:
      "1: the weights wait in the host's memory. 2: they are discarded, and read from disk at the wake. What sleeps already stays at its level. 休眠级别：1 权重保留在主机内存，2 丢弃权重，唤醒时从磁盘重新读取",
    enum: LEVELS,
    type: 'integer',
    default: 1,
  })
  @ValidateIf((_, value) => value !== undefined)
  @IsIn(LEVELS)
  level?: SleepLevel;
}

export class WakeRequest extends PlacementRequest {}
