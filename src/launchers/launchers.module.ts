import { Module } from '@nestjs/common';
import { LauncherRegistry } from './launcher-registry.js';

@Module({ providers: [LauncherRegistry], exports: [LauncherRegistry] })
export class LaunchersModule {}
