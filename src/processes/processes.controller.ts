import { Controller, Delete, Inject, Param, Query, Req } from '@nestjs/common';
import {
  ApiExcludeEndpoint,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiQuery,
  ApiTags,
} from '@nestjs/swagger';
import type { Request } from 'express';
import { ApiErrors, INVALID_BODY } from '../common/http/api-errors.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { KillProcessResponse } from './kill-process-response.dto.js';
import { MAX_PID, parseDryRun, parsePid, PidInvalidError } from './pid.js';
import { type EndedProcess, ProcessesService } from './processes.service.js';

@ApiTags('processes')
@Controller('api/v1/processes')
export class ProcessesController {
  constructor(
    private readonly processes: ProcessesService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Delete(':pid')
  @ApiOperation({
    operationId: 'endProcess',
    summary: 'End a process by its pid 通过PID终止进程',
    description:
      'SIGTERM, a grace, then SIGKILL; answers when the process is gone (one that only waits to be reaped by its parent is gone). `processes.scope` says which processes may be ended. A process of a server of this service is a stop by force of that whole server: its placements go to ERROR (`ENDED_OVER_API`) and are not restarted. `dry_run=true` says what would be hit, and does nothing. 先发送 SIGTERM，等待宽限期后发送 SIGKILL，进程结束后返回。若进程属于本服务的模型服务器，则整个服务器被强制终止，其部署位置变为 ERROR 且不会自动重启。',
  })
  @ApiParam({
    name: 'pid',
    description: 'The process. 进程ID',
    schema: { type: 'integer', minimum: 1, maximum: MAX_PID, example: 12345 },
  })
  @ApiQuery({
    name: 'dry_run',
    required: false,
    description: 'Only say what would be hit. 仅说明将影响的对象，不执行',
    schema: { type: 'boolean', default: false },
  })
  @ApiOkResponse({ type: KillProcessResponse })
  @ApiErrors({
    400: [
      'Not a pid, dry_run is neither true nor false, or there is another parameter or a body. 请求参数无效',
      'PID_INVALID',
      'DRY_RUN_INVALID',
      ...INVALID_BODY,
      'BAD_REQUEST',
    ],
    403: [
      'No permission to end it, a process that is never ended, or one outside processes.scope. 权限不足',
      'PROCESS_FORBIDDEN',
      'PROCESS_OUT_OF_SCOPE',
      'PROCESS_PERMISSION',
    ],
    404: ['There is no such process. 进程不存在', 'PROCESS_NOT_FOUND'],
    500: [
      'It is still there after SIGKILL, its server could not be ended, or another error. 其他错误',
      'PROCESS_NOT_KILLED',
      'STOP_FAILED',
      'STOP_TIMEOUT',
      'GPU_READ_FAILED',
      'STATE_WRITE_FAILED',
      'INTERNAL_ERROR',
    ],
    501: [
      "processes.scope is gpu, and NVIDIA's library is not installed. 无法读取GPU信息",
      'NVML_NOT_INSTALLED',
    ],
    503: [
      'The Docker Engine does not answer, so that nobody can tell whose it is, or this service is ending; nothing is ended. 无法判断进程归属',
      'PROCESS_OWNER_UNKNOWN',
      'SHUTTING_DOWN',
    ],
  })
  async end(
    @Param('pid') pidText: string,
    @Query('dry_run') dryRun: unknown,
    @Req() request: Request,
  ): Promise<KillProcessResponse> {
    const pid = parsePid(pidText);
    if (parseDryRun(dryRun)) return this.foresee(pid);
    const ended = await this.processes.end(pid, { from: request.ip, request: request.id });
    const message = this.messageOn(ended);
    const { placements } = ended;
    return {
      pid,
      status: 'killed',
      ...(message !== '' && { message }),
      ...(placements.length > 0 && { placements: [...placements] }),
    };
  }

  /** A path that ends before the pid holds a malformed one, rather than being unknown. */
  @Delete()
  @ApiExcludeEndpoint()
  endNothing(): never {
    throw new PidInvalidError('');
  }

  private async foresee(pid: number): Promise<KillProcessResponse> {
    const { serverName, container, user, processes, isComplete, placements } =
      await this.processes.foresee(pid);
    const doubt = isComplete ? '' : ' Whether further processes belong to it cannot be told just now.';
    const message =
      placements.length > 0
        ? `The server ${String(serverName)} would be ended by force; ${placements.join(', ')} would be in ERROR and not restarted.${doubt}`
        : 'This process would be ended.';
    return {
      pid,
      status: 'dry_run',
      message,
      placements: [...placements],
      processes: processes.map((each) => ({ ...each })),
      container,
      owner: user,
    };
  }

  private messageOn({ endedBy, serverName, placements, unsaved }: EndedProcess): string {
    if (endedBy === 'end of its server') {
      const what = placements.length > 0 ? placements.join(', ') : 'What it served';
      return `The server ${String(serverName)} was ended by force. ${what}: in ERROR (ENDED_OVER_API) and not restarted; start it again, or stop it.${unsaved === undefined ? '' : ` ${unsaved}`}`;
    }
    const grace = this.config.processes.term_grace_seconds;
    const isForced = endedBy === 'SIGKILL' && grace > 0;
    return isForced ? `It did not end on SIGTERM within ${grace} s, and was ended by SIGKILL.` : '';
  }
}
