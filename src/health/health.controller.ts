import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  HealthCheck,
  HealthCheckService,
  HealthIndicatorService,
  type HealthCheckResult,
} from '@nestjs/terminus';
import { Supervisor } from '../models/supervisor/supervisor.js';
import { HostChecks } from '../checks/host-checks.service.js';
import { CheckResultView, toCheckResults } from './check-result.dto.js';
import { ApiHealthResponses } from './health-responses.js';

/** Probes for an orchestrator, and a look at the host. Neither probe asks a backend: a model that fails is no reason to restart this service. */
@ApiTags('health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicator: HealthIndicatorService,
    private readonly supervisor: Supervisor,
    private readonly hostChecks: HostChecks,
  ) {}

  /** The process answers. */
  @Get('live')
  @HealthCheck({ swaggerDocumentation: false })
  @ApiHealthResponses({})
  @ApiOperation({
    operationId: 'getLiveness',
    summary: 'The process answers 存活检查',
    description: 'Asks no backend: a model that fails is no reason to restart this service. 不检查任何后端。',
  })
  live(): Promise<HealthCheckResult> {
    return this.health.check([]);
  }

  /** Commands are taken: the state of the last run has been read, and this service is not ending. */
  @Get('ready')
  @HealthCheck({ swaggerDocumentation: false })
  @ApiHealthResponses({ supervisor: { status: 'up' } })
  @ApiOperation({
    operationId: 'getReadiness',
    summary: 'Commands are taken 就绪检查',
    description:
      'The state of the last run has been read, and this service is not ending. 已读取上次状态且未在关闭。',
  })
  ready(): Promise<HealthCheckResult> {
    return this.health.check([
      () => {
        const supervisor = this.indicator.check('supervisor');
        return this.supervisor.isReady ? supervisor.up() : supervisor.down('starting or shutting down');
      },
    ]);
  }

  /** What on this host will not work. The answer is 200 whatever is found; it is no probe. */
  @Get('checks')
  @ApiOperation({
    operationId: 'getHealthChecks',
    summary: 'What will not work on this host, and what to do about it 主机检查',
    description:
      'The checks that are made after boot: Docker Engine, GPU library, clock, ports, and for each model what its start needs (image, program, paths, templates, ports). Made anew when asked, at most every 3 s; changes nothing.',
  })
  @ApiOkResponse({ type: [CheckResultView] })
  async checks(): Promise<CheckResultView[]> {
    return toCheckResults(await this.hostChecks.look());
  }
}
