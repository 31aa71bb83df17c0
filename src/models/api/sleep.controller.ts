import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiErrors, BODY_ERRORS, INVALID_BODY } from '../../common/http/api-errors.js';
import { RequestId } from '../../common/http/request-id.js';
import { ModelInstanceInfo } from './model-responses.dto.js';
import { Supervisor } from '../supervisor/supervisor.js';
import { ModelTypes } from './model-types.js';
import { toInstanceInfo } from './views.js';
import { SleepRequest, WakeRequest } from './sleep-request.dto.js';

const ErrorsOfSleep = ApiErrors({
  400: ['The request is invalid. 请求参数无效', ...INVALID_BODY, 'MODEL_TYPE_MISMATCH'],
  404: [
    'The model is not supported, or has no placement on this GPU. 模型未找到或未在指定GPU上运行',
    'MODEL_NOT_RUNNING',
    'MODEL_UNKNOWN',
  ],
  409: [
    'The placement is not RUNNING (`PLACEMENT_NOT_RUNNING`), or the model cannot sleep so (`SLEEP_UNAVAILABLE`). 冲突',
    'PLACEMENT_NOT_RUNNING',
    'SLEEP_UNAVAILABLE',
  ],
  ...BODY_ERRORS,
  500: [
    'The backend did not do it (`SLEEP_FAILED`, `SERVER_LOST`), or not in time (`SLEEP_TIMEOUT`). 休眠或唤醒失败',
    'SLEEP_FAILED',
    'SLEEP_TIMEOUT',
    'SERVER_LOST',
    'INTERNAL_ERROR',
  ],
  501: ['Models of this backend cannot sleep. 后端不支持休眠', 'SLEEP_NOT_SUPPORTED'],
  503: ['This service takes no commands just now: try again. 暂不可用', 'ADOPTION_PENDING', 'SHUTTING_DOWN'],
});

@ApiTags('models')
@Controller('api/v1/models')
export class SleepController {
  constructor(
    private readonly supervisor: Supervisor,
    private readonly modelTypes: ModelTypes,
  ) {}

  @Post('sleep')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'sleepModel',
    summary: 'Have a model on a GPU sleep 使模型休眠',
    description:
      'Answers when the backend says that it sleeps: GPU memory is given back, its server stays, and what is reserved for it stays reserved. Waits until its requests are worked off. The status stays RUNNING, with `sleeping`. What sleeps already stays as it is. 后端确认休眠后返回。',
  })
  @ApiOkResponse({ type: ModelInstanceInfo })
  @ErrorsOfSleep
  async sleep(@Body() request: SleepRequest, @RequestId() id: string): Promise<ModelInstanceInfo> {
    this.modelTypes.check(request);
    const { model_name: modelName, gpu_id: gpuId, level = 1 } = request;
    const slept = await this.supervisor.sleepOrWake(modelName, gpuId, { kind: 'sleep', level }, id);
    return toInstanceInfo(slept);
  }

  @Post('wake')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'wakeModel',
    summary: 'Wake a model on a GPU 唤醒模型',
    description:
      'Answers when the backend says that it serves again. What is awake already stays as it is. 后端确认唤醒后返回。',
  })
  @ApiOkResponse({ type: ModelInstanceInfo })
  @ErrorsOfSleep
  async wake(@Body() request: WakeRequest, @RequestId() id: string): Promise<ModelInstanceInfo> {
    this.modelTypes.check(request);
    const { model_name: modelName, gpu_id: gpuId } = request;
    const woken = await this.supervisor.sleepOrWake(modelName, gpuId, { kind: 'wake' }, id);
    return toInstanceInfo(woken);
  }
}
