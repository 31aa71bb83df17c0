import { Body, Controller, HttpCode, Param, Post } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { ApiErrors, BODY_ERRORS, INVALID_BODY } from '../../common/http/api-errors.js';
import { RequestId } from '../../common/http/request-id.js';
import { ValidationFailedError } from '../../common/http/validation.js';
import { type GpuIdentity, GpusService } from '../gpus.service.js';
import { UnknownGpuError } from './errors.js';
import { GpuCordons } from './gpu-cordons.js';
import { CordonRequest, GpuHealthAnswer } from './gpu-health.dto.js';
import { GpuHealth } from './gpu-health.js';

const SHOWN_LENGTH = 60;
/** Its plain decimal form, or a UUID as the driver writes it. */
const GPU_NAME = /^(?:\d{1,4}|GPU-[A-Za-z0-9-]{1,60})$/;

const NamedGpuParam = ApiParam({
  name: 'gpu_id',
  description: 'GPU, by its NVML index or its UUID. GPU设备ID或唯一标识',
  schema: { type: 'string', pattern: GPU_NAME.source, example: '0' },
});

const NOT_A_GPU = 'The request is invalid, or the path names no GPU. 请求参数无效';

const ErrorsOfCordon = {
  404: ['There is no such GPU. 没有该GPU', 'GPU_NOT_FOUND'],
  ...BODY_ERRORS,
  500: [
    'The GPUs cannot be read, or it cannot be written down; nothing has changed. 操作失败',
    'GPU_READ_FAILED',
    'STATE_WRITE_FAILED',
    'INTERNAL_ERROR',
  ],
  501: ['The GPU library is not there. 功能未实现', 'NVML_NOT_INSTALLED'],
  503: ['This service is ending. 暂不可用', 'SHUTTING_DOWN'],
} as const;

@ApiTags('gpus')
@Controller('api/v1/gpus/:gpu_id')
export class GpuHealthController {
  constructor(
    private readonly gpus: GpusService,
    private readonly cordons: GpuCordons,
    private readonly health: GpuHealth,
  ) {}

  @Post('cordon')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'cordonGpu',
    summary: 'Have nothing started on a GPU 隔离GPU',
    description:
      'Starts on it are refused with `GPU_CORDONED` until it is uncordoned, also after a restart of this service. What runs there runs on; what dies there is not brought back. A GPU that is cordoned already stays so, with the new reason if one is given. 隔离后不再在该GPU上启动模型，正在运行的模型不受影响。',
  })
  @NamedGpuParam
  @ApiBody({ type: CordonRequest, required: false })
  @ApiOkResponse({ type: GpuHealthAnswer })
  @ApiErrors({ 400: [NOT_A_GPU, ...INVALID_BODY, 'BAD_REQUEST'], ...ErrorsOfCordon })
  async cordon(
    @Param('gpu_id') named: string,
    @Body() request: CordonRequest,
    @RequestId() id: string,
  ): Promise<GpuHealthAnswer> {
    const gpu = await this.find(named);
    await this.cordons.cordon(gpu, request.reason, id);
    return this.answer(gpu);
  }

  @Post('uncordon')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'uncordonGpu',
    summary: 'Have models started on a GPU again 解除隔离',
    description:
      'Whoever cordoned it. The faults that are known of it now cordon it no more; new ones do. A GPU that is not cordoned stays as it is. 解除隔离；已知的故障不再触发隔离，新的故障仍会触发。',
  })
  @NamedGpuParam
  @ApiOkResponse({ type: GpuHealthAnswer })
  @ApiErrors({ 400: [NOT_A_GPU, ...INVALID_BODY, 'BAD_REQUEST'], ...ErrorsOfCordon })
  async uncordon(@Param('gpu_id') named: string, @RequestId() id: string): Promise<GpuHealthAnswer> {
    const gpu = await this.find(named);
    await this.health.uncordon(gpu, id);
    return this.answer(gpu);
  }

  private answer(gpu: GpuIdentity): GpuHealthAnswer {
    return { id: gpu.id, uuid: gpu.uuid, health: this.health.of(gpu) };
  }

  /** @throws ValidationFailedError, UnknownGpuError, and what the GPUs throw */
  private async find(named: string): Promise<GpuIdentity> {
    const shown = named.slice(0, SHOWN_LENGTH);
    if (!GPU_NAME.test(named)) {
      throw new ValidationFailedError(
        `Invalid request: ${JSON.stringify(shown)} is no GPU: give its NVML index, or its UUID.`,
      );
    }
    const gpus = await this.gpus.inventory();
    const gpu = gpus.find(({ id, uuid }) =>
      named.startsWith('GPU-') ? uuid === named : id === Number(named),
    );
    if (!gpu)
      throw new UnknownGpuError(
        shown,
        gpus.map(({ id }) => id),
      );
    return gpu;
  }
}
