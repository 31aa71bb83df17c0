import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { Test } from '@nestjs/testing';
import { pino } from 'pino';
import { CommonModule } from '../../src/common/common.module.js';
import { LoggingModule } from '../../src/common/logging/logging.module.js';
import { ConfigModule } from '../../src/config/config.module.js';
import type { Config } from '../../src/config/schema.js';
import { GpuProvider } from '../../src/gpus/gpu-provider.js';
import { GpusController } from '../../src/gpus/gpus.controller.js';
import { GpusModule } from '../../src/gpus/gpus.module.js';
import { NvmlGpuProvider } from '../../src/gpus/nvml/nvml-gpu-provider.js';
import { LaunchersModule } from '../../src/launchers/launchers.module.js';
import { configWith } from './rig.js';

async function moduleWith(gpus: Partial<Config['gpus']>) {
  const imports = [
    ConfigModule.forRoot(configWith(gpus)),
    LoggingModule.forRoot(pino({ enabled: false })),
    CommonModule,
    LaunchersModule.forRoot([]),
    GpusModule,
  ];
  return (await Test.createTestingModule({ imports }).compile()).createNestApplication({ logger: false });
}

describe('the GPU module', () => {
  it('serves simulated GPUs where the configuration says so', async () => {
    const app = await moduleWith({ source: 'simulated' });
    await app.init();
    expect(await app.get(GpusController).list()).toMatchObject([
      { id: 0, simulated: true },
      { id: 1 },
      { id: 2 },
      { id: 3 },
    ]);
    await app.close();
  });

  it('boots without the library of the configuration, which is only missed by who asks', async () => {
    const app = await moduleWith({ source: 'nvml', nvml_library: 'libnot-here.so' });
    await app.init();
    expect(app.get(GpuProvider)).toBeInstanceOf(NvmlGpuProvider);
    await app.close();
  });

  it('documents every field, and which may be null', async () => {
    const app = await moduleWith({ source: 'simulated' });
    await app.init();
    const document = SwaggerModule.createDocument(app, new DocumentBuilder().build());
    await app.close();
    expect(Object.keys(document.paths['/api/v1/gpus']?.get?.responses ?? {})).toEqual(['200', '500', '501']);
    const schemas = document.components?.schemas;
    expect(schemas?.GpuInfo).toMatchObject({
      required: expect.arrayContaining(['id', 'memory_usage', 'power_draw', 'processes']) as string[],
      properties: {
        memory_usage: { type: 'number', nullable: true },
        memory_total: { type: 'integer', nullable: true },
        simulated: { type: 'boolean' },
        error: { type: 'string' },
      },
    });
    expect(schemas?.GpuProcessInfo).toMatchObject({
      properties: { gpu_memory_usage: { nullable: true }, model_name: { nullable: true, type: 'string' } },
    });
  });
});
