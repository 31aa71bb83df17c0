import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { OrphanInfo, toOrphanInfo } from './orphan.dto.js';
import { OrphanWatch } from '../watch/orphan-watch.js';

@ApiTags('models')
@Controller('api/v1/models/orphans')
export class OrphansController {
  constructor(private readonly watch: OrphanWatch) {}

  @Get()
  @ApiOperation({
    operationId: 'listOrphans',
    summary: 'Servers and models of this service that nobody wants 无人需要的服务器和模型',
    description:
      'Found at boot and then at orphans.interval_seconds; removed after orphans.grace_seconds, unless orphans.policy is report. A start that needs one of them keeps it. Never waits for a backend. 启动时及定期检查，宽限期后移除。',
  })
  @ApiOkResponse({ type: [OrphanInfo] })
  orphans(): OrphanInfo[] {
    return this.watch.list().map(toOrphanInfo);
  }
}
