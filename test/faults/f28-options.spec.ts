import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { ScriptedService } from '../support/scripted-service.js';

jest.setTimeout(60_000);

const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const each of cleanUp.splice(0).reverse()) await each();
});

const CTX = { type: 'integer', default: 10, min: 1, max: 99 };

type Options = Record<string, Record<string, unknown>>;

/** The status shows the options that it was started with. */
interface WithOptions {
  readonly options: Record<string, unknown>;
}

describe('F28: an option of a model changes in the configuration while it serves', () => {
  it.each<[string, Options, Record<string, unknown>, Record<string, unknown>]>([
    ['is removed', {}, { ctx: 12 }, {}],
    ['is narrowed', { ctx: { ...CTX, default: 20, min: 15 } }, { ctx: 12 }, { ctx: 20 }],
    ['is added', { ctx: CTX, y: CTX }, { ctx: 12, y: 10 }, { ctx: 12, y: 10 }],
  ])(
    'it %s: the server stays until it ends, and is launched as the configuration has it then',
    async (_how, options, kept, renewed) => {
      const scripted = await ScriptedService.boot({ scripted: { m: { options: { ctx: CTX } } } });
      cleanUp.push(() => scripted.dispose());
      const { service } = scripted;
      await service.start('m', 0, { ctx: 12 });
      await scripted.untilStatus('m', { 0: 'RUNNING' });
      await service.end('SIGKILL');
      await service.editRunners((runners) => {
        const { m } = runners.http?.models as Record<string, Record<string, unknown>>;
        Object.assign(m ?? {}, { options });
      });
      await service.boot();
      await scripted.untilStatus('m', { 0: 'RUNNING' });
      await sleep(1000);
      expect(await scripted.launches('m', 0)).toHaveLength(1);
      const shown = async (): Promise<unknown> =>
        ((await scripted.statusOn('m', 0)) as unknown as WithOptions | undefined)?.options;
      expect(await shown()).toEqual(kept);
      await scripted.signal('m', 0, 'SIGKILL');
      await scripted.launch('m', 0, 2);
      await scripted.untilStatus('m', { 0: 'RUNNING' });
      expect(await shown()).toEqual(renewed);
      await sleep(500);
      expect(await scripted.launches('m', 0)).toHaveLength(2);
    },
  );
});
