import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { ChecksModule } from '../checks/checks.module.js';
import { ModelsModule } from '../models/models.module.js';
import { HealthController } from './health.controller.js';

@Module({
  imports: [TerminusModule.forRoot({ logger: false }), ModelsModule, ChecksModule],
  controllers: [HealthController],
})
export class HealthModule {}
