import { Module } from '@nestjs/common';
import { GpusModule } from '../gpus/gpus.module.js';
import { ModelsModule } from '../models/models.module.js';
import { HostProcesses } from '../host/host-processes.js';
import { ProcessesController } from './processes.controller.js';
import { ProcessesService } from './processes.service.js';

@Module({
  imports: [GpusModule, ModelsModule],
  controllers: [ProcessesController],
  providers: [ProcessesService, { provide: HostProcesses, useFactory: () => new HostProcesses() }],
})
export class ProcessesModule {}
