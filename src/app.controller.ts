import { Controller, Get, Header, Inject } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiProperty, ApiPropertyOptional, ApiTags } from '@nestjs/swagger';
import { CONFIG } from './config/config.module.js';
import type { Config } from './config/schema.js';
import { VERSION } from './version.js';

class Welcome {
  @ApiProperty({ example: 'ok' })
  status!: string;

  @ApiProperty({ example: 'Welcome to the Model Inference Client API' })
  message!: string;

  @ApiPropertyOptional({ description: 'There, and true, where the GPUs of this host are simulated. 模拟GPU' })
  simulated?: boolean;
}

@ApiTags('health')
@Controller()
export class AppController {
  constructor(@Inject(CONFIG) private readonly config: Config) {}

  @Get()
  @ApiOperation({
    operationId: 'getWelcome',
    summary: 'Health check of the root 根端点健康检查',
    description: 'Answers as long as the process does. 进程存活即返回。',
  })
  @ApiOkResponse({
    description: 'The process answers.',
    type: Welcome,
    headers: { Server: { description: 'Name and version of this service', schema: { type: 'string' } } },
  })
  @Header('Server', `model-inference-client/${VERSION}`)
  welcome(): Welcome {
    return {
      status: 'ok',
      message: 'Welcome to the Model Inference Client API',
      ...(this.config.gpus.source === 'simulated' && { simulated: true }),
    };
  }
}
