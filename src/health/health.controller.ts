import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  HealthCheck,
  HealthCheckService,
  HealthIndicatorService,
  type HealthCheckResult,
} from '@nestjs/terminus';
import { Supervisor } from '../models/supervisor/supervisor.js';
import { FilesStuckError, fileWork, stateWork } from '../common/files/file-work.js';
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

  /**
   * Commands are taken: the state of the last run has been read, this service is not ending, files can be read, and the state
   * be written.
   * @throws FilesStuckError
   */
  @Get('ready')
  @HealthCheck({ swaggerDocumentation: false })
  @ApiHealthResponses({ supervisor: { status: 'up' }, files: { status: 'up' } }, [
    'It is starting, or ending, or no file can be read. 启动中、正在关闭，或无法读取文件',
    'NOT_READY',
    'FILES_STUCK',
  ])
  @ApiOperation({
    operationId: 'getReadiness',
    summary: 'Commands are taken 就绪检查',
    description:
      'The state of the last run has been read, and this service is not ending. `files` is `degraded`, with the path, while a file system does not answer: starts that need a file of it are refused. 503 `FILES_STUCK`: no file can be read. 已读取上次状态且未在关闭。`files` 为 `degraded` 表示某个文件系统没有响应。',
  })
  async ready(): Promise<HealthCheckResult> {
    const [oldest] = [...stateWork.stuck, ...fileWork.stuck];
    if (oldest && (stateWork.isStandingStill || fileWork.isStandingStill))
      throw new FilesStuckError(oldest.path, oldest.ms);
    return this.health.check([
      () => {
        const supervisor = this.indicator.check('supervisor');
        return this.supervisor.isReady ? supervisor.up() : supervisor.down('starting or shutting down');
      },
      () => {
        const files = this.indicator.check('files');
        return oldest ? files.degraded(new FilesStuckError(oldest.path, oldest.ms).message) : files.up();
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
