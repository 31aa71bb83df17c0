import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ApiOkResponse, DocumentBuilder, SwaggerModule } from '@nestjs/swagger';

/** The peer of the benchmarks of boot and reads: a Nest app with the same platform and Swagger, that does nothing. */
@Controller()
class BareController {
  @Get()
  @ApiOkResponse({ type: String })
  hello(): { status: string } {
    return { status: 'ok' };
  }

  /** As long as a status of four placements. */
  @Get('status')
  @ApiOkResponse({ type: Object, isArray: true })
  status(): object[] {
    return Array.from({ length: 4 }, (_, id) => ({
      model_name: `model_${id}`,
      model_type: 'triton',
      gpu_id: id,
      gpu_uuid: `GPU-00000000-0000-0000-0000-00000000000${id}`,
      status: 'RUNNING',
      pid: 4711,
      port: 8000,
      options: { instances_per_gpu: 1 },
      since: '2024-01-01T00:00:00.000Z',
      restarts: 0,
      created_at: '2024-01-01T00:00:00.000Z',
      updated_at: '2024-01-01T00:00:00.000Z',
    }));
  }
}

@Module({ controllers: [BareController] })
class BareModule {}

const app = await NestFactory.create(BareModule, { logger: false });
SwaggerModule.setup(
  'docs',
  app,
  SwaggerModule.createDocument(app, new DocumentBuilder().setTitle('bare').build()),
);
await app.listen(Number(process.env.PORT), '127.0.0.1');
