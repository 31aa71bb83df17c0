import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TestService } from '../support/service.js';

let service: TestService;

const answers = (way: string): Promise<void> => writeFile(join(service.directory, 'mode'), way);

async function boot(apiTimeoutSeconds: number): Promise<void> {
  service = await TestService.create();
  await service.configure({
    runners: {
      triton: {
        command: [process.execPath, join(process.cwd(), 'test/fakes/rubbish-triton.mjs')],
        env: { MODE_FILE: join(service.directory, 'mode'), MODELS: 'MAM,FastFitAll' },
        model_gpu_configs: { MAM: { instances_per_gpu: 1 }, default: {} },
        api_timeout_seconds: apiTimeoutSeconds,
      },
    },
  });
  await answers('good');
  await service.boot();
  await service.start('MAM', 0);
  await service.start('FastFitAll', 0);
  await service.untilRunning('FastFitAll@0', 'MAM@0');
}

describe('F23: Triton takes its time for an answer', () => {
  describe('within api_timeout_seconds', () => {
    beforeAll(() => boot(20));
    afterAll(() => service.dispose());
    beforeEach(() => answers('good'));

    it('to the index, and the stop of a model is done all the same', async () => {
      await answers('slow index');
      const { status, body } = await service.stop('MAM', 0);
      expect({ status, body }).toMatchObject({ status: 200, body: { status: 'STOPPED' } });
      await service.untilRunning('FastFitAll@0');
    });
  });

  describe('beyond api_timeout_seconds', () => {
    beforeAll(() => boot(3));
    afterAll(() => service.dispose());

    it('and the stop says how long it has waited', async () => {
      await answers('hang index');
      const { status, body } = await service.stop('MAM', 0);
      expect({ status, code: body.code }).toEqual({ status: 500, code: 'STOP_FAILED' });
      const words = 'Triton did not unload MAM from GPU 0 within 3 s (runners.triton.api_timeout_seconds).';
      expect(body.detail).toBe(words);
    });

    it('and the stop says what has failed before that', async () => {
      await answers('text index');
      const { status, body } = await service.stop('MAM', 0);
      expect({ status, code: body.code }).toEqual({ status: 500, code: 'STOP_FAILED' });
      expect(body.detail).toMatch(/^Triton did not unload MAM from GPU 0: (?!.*within)/);
    });
  });
});
