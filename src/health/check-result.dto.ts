import { ApiProperty } from '@nestjs/swagger';
import type { HostChecksResult } from '../checks/host-checks.service.js';

/** One thing that a start needs of this host, and whether it is there. */
export class CheckResultView {
  @ApiProperty({
    description:
      'What was checked: `engine`, `nvml`, `clock`, `ports`, or a subject of a backend (`triton.image`). A name comes once for each thing that is wrong with it. 检查项',
    example: 'triton.image',
  })
  name!: string;

  @ApiProperty({
    enum: ['ok', 'warn', 'unknown'],
    description: '`unknown`: nobody could tell in time. 检查结果',
    example: 'warn',
  })
  status!: 'ok' | 'warn' | 'unknown';

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'What is wrong; null where nothing is. 问题说明',
    example: 'Image nvcr.io/nvidia/tritonserver:25.04-py3 is not on this host and pull is "never"',
  })
  message!: string | null;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'What to do about it. 处理办法',
    example: 'Pull the image (`docker pull`), correct its name, or set pull: if-missing.',
  })
  remedy!: string | null;

  @ApiProperty({
    type: [String],
    description: 'The models that need it; empty where it is of no model in particular. 受影响的模型',
    example: ['MAM', 'FastFitAll'],
  })
  models!: string[];

  @ApiProperty({ format: 'date-time', description: 'When the look began. 检查时间' })
  checked_at!: string;
}

export function toCheckResults({ checkedAt, results }: HostChecksResult): CheckResultView[] {
  const checked_at = checkedAt.toISOString();
  return results.map(({ name, status, message, remedy, models }) => ({
    name,
    status,
    message,
    remedy,
    models: [...models],
    checked_at,
  }));
}
