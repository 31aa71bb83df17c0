import { Module } from '@nestjs/common';
import { GpuCordonsStore } from './gpu-cordons.store.js';
import { GpuMemoryStore } from './gpu-memory.store.js';
import { DesiredStateStore } from './desired-state.store.js';

@Module({
  providers: [DesiredStateStore, GpuMemoryStore, GpuCordonsStore],
  exports: [DesiredStateStore, GpuMemoryStore, GpuCordonsStore],
})
export class StateModule {}
