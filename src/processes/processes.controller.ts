import { Controller, Delete, Inject, Param, Req } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { Request } from 'express';
import { ApiErrors } from '../common/http/api-errors.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { KillProcessResponse } from './kill-process-response.dto.js';
import { MAX_PID, parsePid, PidInvalidError } from './pid.js';
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
    summary: 'End a process by its pid 通过PID终止进程',
    description:
      'SIGTERM, a grace, then SIGKILL; answers when the process is gone (one that only waits to be reaped by its parent is gone). `processes.scope` says which processes may be ended. To stop a model, use POST /api/v1/models/stop: a server that is ended here is brought back. 先发送 SIGTERM，等待宽限期后发送 SIGKILL，进程结束后返回。停止模型请使用 POST /api/v1/models/stop。',
  })
  @ApiParam({
    name: 'pid',
    description: 'The process. 进程ID',
    schema: { type: 'integer', minimum: 1, maximum: MAX_PID, example: 12345 },
  })
  @ApiOkResponse({ type: KillProcessResponse })
  @ApiErrors({
    400: 'Not a pid. 请求参数无效',
    403: 'No permission to end it, a process that is never ended, or one outside processes.scope. 权限不足',
    404: 'There is no such process. 进程不存在',
    500: 'It is still there after SIGKILL, or another error. 其他错误',
    501: "processes.scope is gpu, and NVIDIA's library is not installed. 无法读取GPU信息",
  })
  async end(@Param('pid') pidText: string, @Req() request: Request): Promise<KillProcessResponse> {
    const pid = parsePid(pidText);
    const ended = await this.processes.end(pid, { from: request.ip, request: request.id });
    const message = this.messageOn(ended);
    return { pid, status: 'killed', ...(message !== '' && { message }) };
  }

  /** A path that ends before the pid holds a malformed one, rather than being unknown. */
  @Delete()
  @ApiExcludeEndpoint()
  endNothing(): never {
    throw new PidInvalidError('');
  }

  private messageOn({ endedBy, models }: EndedProcess): string {
    const grace = this.config.processes.term_grace_seconds;
    const forced = endedBy === 'SIGKILL' && grace > 0;
    return [
      ...(forced ? [`It did not end on SIGTERM within ${grace} s, and was ended by SIGKILL.`] : []),
      ...(models.length > 0
        ? [`It served ${models.join(', ')} and will be brought back: POST /api/v1/models/stop stops a model.`]
        : []),
    ].join(' ');
  }
}
