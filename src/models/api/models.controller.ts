import { Body, Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ApiAcceptedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { ApiErrors } from '../../common/http/api-errors.js';
import { Catalog } from '../deployment/catalog.js';
import { ModelInstanceInfo, ModelStatusItem } from './model-responses.dto.js';
import { StartRequest, StopRequest } from './start-request.dto.js';
import { StartPlan } from './start-plan.dto.js';
import { NotPlacedError, quoted } from '../deployment/errors.js';
import { Supervisor } from '../supervisor/supervisor.js';
import { toInstanceInfo, toStartPlan, toStatusItem } from './views.js';

@ApiTags('models')
@Controller('api/v1/models')
export class ModelsController {
  constructor(
    private readonly supervisor: Supervisor,
    private readonly catalog: Catalog,
  ) {}

  @Post('start')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Start a model on a GPU 在指定GPU上启动模型',
    description:
      'Accepted at once; the status goes from STARTING to RUNNING when the backend says that the model is ready. A start where the model already runs or starts changes nothing. 模型启动是异步的，状态会从 STARTING 变为 RUNNING。',
  })
  @ApiAcceptedResponse({ type: ModelInstanceInfo })
  @ApiErrors({
    400: 'The request is invalid, the model is not supported, or there is no such GPU. 请求参数无效',
    409: 'It cannot start next to what is there. 冲突',
    500: 'The start is refused: engine, port, image or model template. Nothing has changed. 启动失败',
    501: "The model's backend is not configured. 后端未配置",
  })
  async start(@Body() request: StartRequest): Promise<ModelInstanceInfo> {
    return toInstanceInfo(
      await this.supervisor.start(request.model_name, request.gpu_id, request.config ?? {}),
    );
  }

  @Post('plan')
  @HttpCode(200)
  @ApiOperation({
    summary: 'What a start would come to 启动预检',
    description:
      'The same body as a start, and the same checks: whether it would be accepted, why not, on which GPUs it fits and who is in the way. Nothing is changed or reserved. 与启动请求相同，只做检查，不产生任何改变。',
  })
  @ApiOkResponse({ type: StartPlan })
  @ApiErrors({
    400: 'The request is invalid, the model is not supported, or there is no such GPU. 请求参数无效',
    500: 'The GPUs cannot be read. 获取GPU信息失败',
    501: 'The GPU library is not there. 功能未实现',
  })
  async plan(@Body() request: StartRequest): Promise<StartPlan> {
    return toStartPlan(
      await this.supervisor.foresee(request.model_name, request.gpu_id, request.config ?? {}),
    );
  }

  @Post('stop')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Stop a model on a GPU 在指定GPU上停止模型',
    description:
      'Answers when the backend has let go of the model and, where the driver tells, the GPU memory is back. With a drain (`drain_seconds`) the model serves on until its requests are worked off, or that time is over; `drained` says which of them it was. With `force` nobody is asked. 后端释放模型后返回。',
  })
  @ApiOkResponse({ type: ModelInstanceInfo })
  @ApiErrors({
    400: 'The request is invalid. 请求参数无效',
    404: 'The model is not supported, or not running on this GPU. 模型未找到或未在指定GPU上运行',
    500: 'The backend did not let go in time (`STOP_TIMEOUT`, `STOP_FAILED`), or it did and processes of its server still hold memory of the GPU (`GPU_MEMORY_HELD`); the stop goes on. 停止失败',
  })
  async stop(@Body() request: StopRequest): Promise<ModelInstanceInfo> {
    const { model_name: modelName, gpu_id: gpuId, drain_seconds: drainSeconds, force } = request;
    return toInstanceInfo(await this.supervisor.stop(modelName, gpuId, { drainSeconds, force }));
  }

  @Get('status')
  @ApiOperation({
    summary: 'Every placement that runs or starts 获取所有运行中模型的状态',
    description: 'One item per model and GPU. Never waits for a backend. 每个模型和GPU一项。',
  })
  @ApiOkResponse({ type: [ModelStatusItem] })
  status(): ModelStatusItem[] {
    return this.supervisor.deployments().flatMap((deployment) =>
      deployment
        .visible()
        .filter(({ placement }) => placement.isActive)
        .map((held) => toStatusItem(deployment, held)),
    );
  }

  @Get('status/:model_name')
  @ApiOperation({
    summary: 'Every placement of a model, ERROR included 获取指定模型的状态',
  })
  @ApiParam({ name: 'model_name', description: 'Model. 模型名称', example: 'MAM' })
  @ApiOkResponse({ type: [ModelStatusItem] })
  @ApiErrors({ 404: 'The model is not supported, or has no placement. 模型未找到' })
  statusOf(@Param('model_name') modelName: string): ModelStatusItem[] {
    this.catalog.runnerOf(modelName, 'not_found');
    const deployment = this.supervisor.deployments().find((each) => each.modelName === modelName);
    if (!deployment)
      throw new NotPlacedError(`Model ${quoted(modelName)} is not running on any GPU.`, { modelName });
    return deployment.visible().map((held) => toStatusItem(deployment, held));
  }

  @Get('supported')
  @ApiOperation({ summary: 'The models that can be started here, and their backends 支持的模型及其类型' })
  @ApiOkResponse({
    schema: {
      type: 'object',
      additionalProperties: { type: 'string' },
      example: { MAM: 'triton', chane_face: 'comfyui' },
    },
  })
  supported(): Record<string, string> {
    return this.catalog.supported();
  }
}
