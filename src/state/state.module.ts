import { Module } from '@nestjs/common';
import { DesiredStateStore } from './desired-state.store.js';

@Module({ providers: [DesiredStateStore], exports: [DesiredStateStore] })
export class StateModule {}
