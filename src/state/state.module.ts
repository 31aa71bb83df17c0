import { Module } from '@nestjs/common';
import { GpuMemoryStore } from './gpu-memory.store.js';
import { DesiredStateStore } from './desired-state.store.js';

@Module({
  providers: [DesiredStateStore, GpuMemoryStore],
  exports: [DesiredStateStore, GpuMemoryStore],
})
export class StateModule {}
