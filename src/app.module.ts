import { type DynamicModule, Module } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { AppController } from './app.controller.js';
import { CommonModule } from './common/common.module.js';
import { LoggingModule } from './common/logging/logging.module.js';
import type { Logger } from './common/logging/logger.js';
import { ConfigModule } from './config/config.module.js';
import { LaunchersModule } from './launchers/launchers.module.js';
import { type FullConfig, withheldVariables } from './runners/backends.js';
import { GpusModule } from './gpus/gpus.module.js';
import { HealthModule } from './health/health.module.js';
import { ModelsModule } from './models/models.module.js';
import { ProcessesModule } from './processes/processes.module.js';

/** The composition root: the only file that knows all modules. */
@Module({})
export class AppModule {
  static forRoot(config: FullConfig, logger: Logger): DynamicModule {
    return {
      module: AppModule,
      imports: [
        CommonModule,
        ConfigModule.forRoot(config),
        LoggingModule.forRoot(logger),
        ScheduleModule.forRoot(),
        LaunchersModule.forRoot(withheldVariables),
        GpusModule,
        ModelsModule,
        ProcessesModule,
        HealthModule,
      ],
      controllers: [AppController],
    };
  }
}
