import { ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsIn, ValidateIf } from 'class-validator';
import { PLACEMENT_STATUSES, type PlacementStatus } from '../deployment/placement-state.js';

/** Which placements a list of statuses shows. */
export class StatusQuery {
  @ApiPropertyOptional({
    description: 'Only placements of this status; given more than once, of any of these. 按状态筛选',
    enum: PLACEMENT_STATUSES,
    isArray: true,
    example: ['ERROR'],
  })
  @ValidateIf((_, value) => value !== undefined)
  @Transform(({ value }: { value: unknown }) => (value === undefined ? undefined : [value].flat()))
  @IsIn(PLACEMENT_STATUSES, { each: true })
  status?: PlacementStatus[];
}
