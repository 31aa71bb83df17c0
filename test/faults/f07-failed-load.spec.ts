import { afterEach, describe, expect, it } from '@jest/globals';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TestService } from '../support/service.js';

let service: TestService;

afterEach(() => service.dispose());

async function bootBesideMam(standin: Record<string, unknown>): Promise<void> {
  service = await TestService.create({ models: { MAM: { load_seconds: 0.1 }, FastFitAll: standin } });
  await service.boot();
  await service.start('MAM', 0);
  await service.untilRunning('MAM@0');
}

async function expectMamServes(): Promise<void> {
  expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
  expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
}

async function expectRepaired(): Promise<void> {
  expect((await service.start('FastFitAll', 1)).body).toMatchObject({ status: 'STARTING' });
  await service.untilRunning('FastFitAll@1', 'MAM@0');
  expect(await service.loadsOf('MAM')).toBe(1);
}

describe("F7: a model's load fails", () => {
  it('is ERROR in the words of Triton; the other model serves on; a start after the repair works', async () => {
    await bootBesideMam({ load_seconds: 0.1, fail_load: 'its weights are missing' });
    expect((await service.start('FastFitAll', 1)).status).toBe(202);
    expect(await service.untilError('FastFitAll')).toMatchObject({
      code: 'MODEL_LOAD_FAILED',
      message: expect.stringContaining('its weights are missing'),
    });
    await expectMamServes();
    await service.writeModel('FastFitAll', { load_seconds: 0.1 });
    await expectRepaired();
  });

  it('a file of the model is missing: ERROR in the words of Triton', async () => {
    await bootBesideMam({ load_seconds: 0.1 });
    await rm(join(service.repository, 'FastFitAll/1'), { recursive: true });
    await service.start('FastFitAll', 1);
    expect(await service.untilError('FastFitAll')).toMatchObject({
      code: 'MODEL_LOAD_FAILED',
      message: expect.stringMatching(/^Triton could not load FastFitAll: .+/),
    });
    await expectMamServes();
    await service.writeModel('FastFitAll', { load_seconds: 0.1 });
    await expectRepaired();
  });

  it.each([
    ['missing', undefined],
    ['cut off', 'name: "FastFitAll"\ninput [ {'],
  ])('its template is %s: refused before anything changes', async (_what, text) => {
    await bootBesideMam({ load_seconds: 0.1 });
    const template = join(service.repository, 'FastFitAll/config.pbtxt.template');
    await (text === undefined ? rm(template) : writeFile(template, text));
    expect(await service.start('FastFitAll', 1)).toMatchObject({
      status: 500,
      body: { code: 'MODEL_CONFIG_FAILED' },
    });
    expect(await service.desired()).toEqual(['MAM@0']);
    await expectMamServes();
  });

  it('its template holds what Triton refuses: ERROR with what the log of Triton says of it', async () => {
    await bootBesideMam({ load_seconds: 0.1 });
    await writeFile(
      join(service.repository, 'FastFitAll/config.pbtxt.template'),
      'name: "FastFitAll"\nmax_batch_size: "many"\n',
    );
    expect((await service.start('FastFitAll', 1)).status).toBe(202);
    const error = await service.untilError('FastFitAll');
    expect(error.code).toBe('MODEL_LOAD_FAILED');
    expect(error.log?.join('\n')).toContain('max_batch_size'); // what Triton answers does not say it
    await expectMamServes();
    await service.writeModel('FastFitAll', { load_seconds: 0.1 });
    await expectRepaired();
  });
});
