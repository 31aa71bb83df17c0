import { Body, Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiAcceptedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { ApiErrors, BODY_ERRORS, INVALID_BODY } from '../../common/http/api-errors.js';
import { RequestId } from '../../common/http/request-id.js';
import { Catalog } from '../deployment/catalog.js';
import { ModelInstanceInfo, ModelStatusItem } from './model-responses.dto.js';
import { StartRequest, StopRequest } from './start-request.dto.js';
import { StartPlan } from './start-plan.dto.js';
import { ModelTypes } from './model-types.js';
import { StatusQuery } from './status-query.dto.js';
import { NotPlacedError, quoted } from '../deployment/errors.js';
import { Supervisor } from '../supervisor/supervisor.js';
import { toInstanceInfo, toStartPlan, toStatusItem } from './views.js';

@ApiTags('models')
@Controller('api/v1/models')
export class ModelsController {
  constructor(
    private readonly supervisor: Supervisor,
    private readonly catalog: Catalog,
    private readonly modelTypes: ModelTypes,
  ) {}

  @Post('start')
  @HttpCode(202)
  @ApiOperation({
    operationId: 'startModel',
    summary: 'Start a model on a GPU 在指定GPU上启动模型',
    description:
      'Accepted at once; the status goes from STARTING to RUNNING when the backend says that the model is ready. A start where the model already runs or starts changes nothing. 模型启动是异步的，状态会从 STARTING 变为 RUNNING。',
  })
  @ApiAcceptedResponse({ type: ModelInstanceInfo })
  @ApiErrors({
    400: [
      'The request is invalid, the model is not supported, or there is no such GPU. 请求参数无效',
      ...INVALID_BODY,
      'MODEL_UNKNOWN',
      'MODEL_TYPE_MISMATCH',
      'GPU_NOT_FOUND',
      'GPU_NOT_USABLE',
      'CONFIG_OPTION_INVALID',
    ],
    409: [
      'It cannot start next to what is there. 冲突',
      'GPU_MEMORY_SHORT',
      'GPU_EXCLUSIVE',
      'GPU_CORDONED',
      'OPTIONS_CONFLICT',
      'PLACEMENT_OVERLAP',
      'ENSEMBLE_STEPS_NOT_RUNNING',
      'MODEL_REPOSITORY_CHANGED',
    ],
    ...BODY_ERRORS,
    500: [
      'The start is refused: engine, port, image or model template. Nothing has changed. 启动失败',
      'DOCKER_UNAVAILABLE',
      'IMAGE_MISSING',
      'COMMAND_MISSING',
      'PORT_IN_USE',
      'BIND_ADDRESS_UNUSABLE',
      'NAME_TAKEN',
      'MODEL_CONFIG_FAILED',
      'COMFYUI_FILE_MISSING',
      'SERVER_RECORDS_GONE',
      'GPU_READ_FAILED',
      'STATE_WRITE_FAILED',
      'INTERNAL_ERROR',
    ],
    501: [
      "The model's backend is not configured, or the GPU library is not there. 后端未配置",
      'COMFYUI_NOT_CONFIGURED',
      'NVML_NOT_INSTALLED',
    ],
    503: [
      'It cannot be checked just now, or this service takes no commands. Nothing has changed: try again. 暂不可用',
      'PREFLIGHT_TIMEOUT',
      'FILES_STUCK',
      'ADOPTION_PENDING',
      'SHUTTING_DOWN',
    ],
  })
  async start(@Body() request: StartRequest, @RequestId() id: string): Promise<ModelInstanceInfo> {
    this.modelTypes.check(request);
    const { model_name: modelName, gpu_id: gpuId, config } = request;
    const started = await this.supervisor.start(modelName, gpuId, config ?? {}, id);
    return toInstanceInfo(started);
  }

  @Post('plan')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'planStart',
    summary: 'What a start would come to 启动预检',
    description:
      'The same body as a start, and the same checks: whether it would be accepted, why not, on which GPUs it fits and who is in the way. Nothing is changed or reserved. 与启动请求相同，只做检查，不产生任何改变。',
  })
  @ApiOkResponse({ type: StartPlan })
  @ApiErrors({
    400: [
      'The request is invalid, the model is not supported, or there is no such GPU. 请求参数无效',
      ...INVALID_BODY,
      'MODEL_UNKNOWN',
      'MODEL_TYPE_MISMATCH',
      'GPU_NOT_FOUND',
      'CONFIG_OPTION_INVALID',
    ],
    ...BODY_ERRORS,
    500: ['The GPUs cannot be read. 获取GPU信息失败', 'GPU_READ_FAILED', 'INTERNAL_ERROR'],
    501: ['The GPU library is not there. 功能未实现', 'NVML_NOT_INSTALLED'],
    503: ['This service is starting or ending. 暂不可用', 'SHUTTING_DOWN'],
  })
  async plan(@Body() request: StartRequest): Promise<StartPlan> {
    this.modelTypes.check(request);
    return toStartPlan(
      await this.supervisor.foresee(request.model_name, request.gpu_id, request.config ?? {}),
    );
  }

  @Post('stop')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'stopModel',
    summary: 'Stop a model on a GPU 在指定GPU上停止模型',
    description:
      'Answers when the backend has let go of the model and, where the driver tells, the GPU memory is back. With a drain (`drain_seconds`) the model serves on until its requests are worked off, or that time is over; `drained` says which of them it was. With `force` nobody is asked. 后端释放模型后返回。',
  })
  @ApiOkResponse({ type: ModelInstanceInfo })
  @ApiErrors({
    400: ['The request is invalid. 请求参数无效', ...INVALID_BODY, 'MODEL_TYPE_MISMATCH'],
    404: [
      'The model is not supported, or not running on this GPU. 模型未找到或未在指定GPU上运行',
      'MODEL_NOT_RUNNING',
      'MODEL_UNKNOWN',
    ],
    ...BODY_ERRORS,
    500: [
      'The backend did not let go in time (`STOP_TIMEOUT`, `STOP_FAILED`), or it did and processes of its server still hold memory of the GPU (`GPU_MEMORY_HELD`); the stop goes on. 停止失败',
      'STOP_TIMEOUT',
      'STOP_FAILED',
      'GPU_MEMORY_HELD',
      'DOCKER_UNAVAILABLE',
      'STATE_WRITE_FAILED',
      'INTERNAL_ERROR',
    ],
    503: [
      'This service takes no commands just now: try again. 暂不可用',
      'ADOPTION_PENDING',
      'SHUTTING_DOWN',
    ],
  })
  async stop(@Body() request: StopRequest, @RequestId() id: string): Promise<ModelInstanceInfo> {
    this.modelTypes.check(request);
    const { model_name: modelName, gpu_id: gpuId, gpu_uuid: gpuUuid } = request;
    const { drain_seconds: drainSeconds, force } = request;
    const asked = { gpuUuid, drainSeconds, force, request: id };
    const stopped = await this.supervisor.stop(modelName, gpuId, asked);
    return toInstanceInfo(stopped);
  }

  @Get('status')
  @ApiOperation({
    operationId: 'listPlacements',
    summary: 'Every placement that runs or starts 获取所有运行中模型的状态',
    description:
      'One item per model and GPU. With `status`, every placement of that status instead: `?status=ERROR` lists all that failed. Never waits for a backend. 每个模型和GPU一项；可按状态筛选。',
  })
  @ApiOkResponse({ type: [ModelStatusItem] })
  @ApiErrors({ 400: ['There is no such status. 请求参数无效', 'VALIDATION_FAILED'] })
  status(@Query() { status: wanted }: StatusQuery): ModelStatusItem[] {
    return this.supervisor.deployments().flatMap((deployment) =>
      deployment
        .visible()
        .filter(({ placement }) => wanted?.includes(placement.status) ?? placement.isActive)
        .map((held) => toStatusItem(deployment, held)),
    );
  }

  @Get('status/:model_name')
  @ApiOperation({
    operationId: 'listModelPlacements',
    summary: 'Every placement of a model, ERROR included 获取指定模型的状态',
    description:
      'One item per GPU; with `status`, those of that status alone, perhaps none. Never waits for a backend. 每个GPU一项；可按状态筛选。',
  })
  @ApiParam({ name: 'model_name', description: 'Model. 模型名称', example: 'MAM' })
  @ApiOkResponse({ type: [ModelStatusItem] })
  @ApiErrors({
    400: [
      'There is no such status, or the path makes no sense. 请求参数无效',
      'VALIDATION_FAILED',
      'BAD_REQUEST',
    ],
    404: [
      'The model is not supported, or has no placement. 模型未找到',
      'MODEL_NOT_RUNNING',
      'MODEL_UNKNOWN',
    ],
  })
  statusOf(
    @Param('model_name') modelName: string,
    @Query() { status: wanted }: StatusQuery,
  ): ModelStatusItem[] {
    const deployment = this.supervisor.deployments().find((each) => each.modelName === modelName);
    if (!deployment) this.catalog.runnerOf(modelName, 'not_found');
    if (!deployment)
      throw new NotPlacedError(`Model ${quoted(modelName)} is not running on any GPU.`, { modelName });
    return deployment
      .visible()
      .filter(({ placement }) => wanted?.includes(placement.status) ?? true)
      .map((held) => toStatusItem(deployment, held));
  }

  @Get('supported')
  @ApiOperation({
    operationId: 'listSupportedModels',
    summary: 'The models that can be started here, and their backends 支持的模型及其类型',
    description: 'Model → `model_type`, as the configuration has them. 模型名称到后端类型的映射。',
  })
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
