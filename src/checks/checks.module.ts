import { Module } from '@nestjs/common';
import { GpusModule } from '../gpus/gpus.module.js';
import { RunnersModule } from '../runners/runners.module.js';
import { HostChecks } from './host-checks.service.js';

@Module({
  imports: [GpusModule, RunnersModule],
  providers: [HostChecks],
  exports: [HostChecks],
})
export class ChecksModule {}
