import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiErrors } from '../../common/http/api-errors.js';
import { ModelInstanceInfo } from './model-responses.dto.js';
import { Supervisor } from '../supervisor/supervisor.js';
import { toInstanceInfo } from './views.js';
import { SleepRequest, WakeRequest } from './sleep-request.dto.js';

const ERRORS = {
  400: 'The request is invalid. 请求参数无效',
  404: 'The model is not supported, or has no placement on this GPU. 模型未找到或未在指定GPU上运行',
  409: 'The placement is not RUNNING (`PLACEMENT_NOT_RUNNING`), or the model cannot sleep so (`SLEEP_UNAVAILABLE`). 冲突',
  500: 'The backend did not do it (`SLEEP_FAILED`, `SERVER_LOST`), or not in time (`SLEEP_TIMEOUT`). 休眠或唤醒失败',
  501: 'Models of this backend cannot sleep. 后端不支持休眠',
};

@ApiTags('models')
@Controller('api/v1/models')
export class SleepController {
  constructor(private readonly supervisor: Supervisor) {}

  @Post('sleep')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Have a model on a GPU sleep 使模型休眠',
    description:
      'Answers when the backend says that it sleeps: GPU memory is given back, its server stays, and what is reserved for it stays reserved. Waits until its requests are worked off. The status stays RUNNING, with `sleeping`. What sleeps already stays as it is. 后端确认休眠后返回。',
  })
  @ApiOkResponse({ type: ModelInstanceInfo })
  @ApiErrors(ERRORS)
  async sleep(@Body() request: SleepRequest): Promise<ModelInstanceInfo> {
    const { model_name: modelName, gpu_id: gpuId, level = 1 } = request;
    return toInstanceInfo(await this.supervisor.sleepOrWake(modelName, gpuId, { kind: 'sleep', level }));
  }

  @Post('wake')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Wake a model on a GPU 唤醒模型',
    description:
      'Answers when the backend says that it serves again. What is awake already stays as it is. 后端确认唤醒后返回。',
  })
  @ApiOkResponse({ type: ModelInstanceInfo })
  @ApiErrors(ERRORS)
  async wake(@Body() request: WakeRequest): Promise<ModelInstanceInfo> {
    const { model_name: modelName, gpu_id: gpuId } = request;
    return toInstanceInfo(await this.supervisor.sleepOrWake(modelName, gpuId, { kind: 'wake' }));
  }
}
