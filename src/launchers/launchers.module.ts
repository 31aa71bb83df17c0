import { type DynamicModule, Module } from '@nestjs/common';
import { LauncherRegistry, WITHHELD } from './launcher-registry.js';

@Module({})
export class LaunchersModule {
  /** @param withheld variables that no server inherits from this service */
  static forRoot(withheld: readonly string[]): DynamicModule {
    return {
      module: LaunchersModule,
      global: true,
      providers: [{ provide: WITHHELD, useValue: withheld }, LauncherRegistry],
      exports: [LauncherRegistry],
    };
  }
}
