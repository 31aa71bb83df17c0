import { expect, it, jest } from '@jest/globals';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensembleTemplate } from '../support/ensemble-template.js';
import { containersOf, docker } from '../support/docker.js';
import { boot, errorOf, loadsOf, mic, useRealTriton, withEngine } from './triton-rig.js';

jest.setTimeout(180_000);
useRealTriton();

const STEPS = ['MAM', 'FastFitAll'];

async function writeTemplate(model: string, text: string): Promise<void> {
  await mkdir(join(mic.repository, model, '1'), { recursive: true });
  await writeFile(join(mic.repository, model, 'config.pbtxt.template'), text);
}

const configOf = (model: string): Promise<string> =>
  readFile(join(mic.repository, model, 'config.pbtxt'), 'utf8');

/** With Pipeline, an ensemble of MAM and FastFitAll. */
async function bootPipeline(): Promise<void> {
  await boot({ supported_models: [...STEPS, 'Pipeline'] });
  await writeTemplate('Pipeline', ensembleTemplate('Pipeline', STEPS, 0));
}

const served = async (): Promise<string[]> =>
  (await mic.tritonIndex()).filter(({ state }) => state === 'READY').map(({ name }) => name);

withEngine('F37: an ensemble of real Triton', () => {
  it('is served by its steps, is ERROR with their name when one is stopped, and comes back', async () => {
    await bootPipeline();
    await mic.start('MAM', 0);
    expect(await mic.start('Pipeline', 0)).toMatchObject({
      status: 409,
      body: {
        code: 'ENSEMBLE_STEPS_NOT_RUNNING',
        detail: expect.stringMatching(/MAM \(starting\), FastFitAll\. /),
      },
    });
    await mic.start('FastFitAll', 1);
    await mic.untilRunning('FastFitAll@1', 'MAM@0');
    expect((await mic.start('Pipeline', 0)).status).toBe(202);
    await mic.untilRunning('FastFitAll@1', 'MAM@0', 'Pipeline@0');
    expect((await mic.infer('Pipeline', [1, 2, 3, 4])).output).toEqual([8, 14, 20, 26]);

    // Another GPU for a step is no outage of the ensemble.
    const answers: number[] = [];
    await mic.start('MAM', 2);
    await mic.until(async () => {
      answers.push((await mic.infer('Pipeline', [1, 2, 3, 4])).status);
      return (await mic.placements()).includes('MAM@2:RUNNING');
    }, 60_000);
    expect(new Set(answers)).toEqual(new Set([200]));
    expect(await mic.placements()).toContain('Pipeline@0:RUNNING');

    expect((await mic.stop('FastFitAll', 1)).status).toBe(200);
    await mic.until(async () => (await errorOf('Pipeline')) !== undefined);
    expect(await errorOf('Pipeline')).toMatchObject({
      code: 'ENSEMBLE_STEPS_NOT_RUNNING',
      message: expect.stringContaining('models that do not run: FastFitAll.'),
    });
    expect(await served()).toEqual(['MAM']);
    await mic.start('FastFitAll', 3);
    await mic.untilRunning('FastFitAll@3', 'MAM@0', 'MAM@2');
    await mic.start('Pipeline', 0);
    await mic.untilRunning('FastFitAll@3', 'MAM@0', 'MAM@2', 'Pipeline@0');
    expect((await mic.stop('Pipeline', 0)).status).toBe(200);
    expect((await served()).sort()).toEqual(['FastFitAll', 'MAM']);
  });

  it('comes back after its steps when Triton has died', async () => {
    await bootPipeline();
    await mic.start('MAM', 0);
    await mic.start('FastFitAll', 1);
    await mic.untilRunning('FastFitAll@1', 'MAM@0');
    await mic.start('Pipeline', 0);
    await mic.untilRunning('FastFitAll@1', 'MAM@0', 'Pipeline@0');
    const [container] = await containersOf(mic.instanceName);
    await docker.getContainer(container?.Id ?? '').kill();
    await mic.until(async () => (await mic.placements()).every((each) => each.endsWith('STARTING')));
    await mic.until(async () => (await mic.placements()).every((each) => each.endsWith('RUNNING')), 60_000);
    expect(await mic.placements()).toHaveLength(3);
    expect(await Promise.all([...STEPS, 'Pipeline'].map(loadsOf))).toEqual([1, 1, 1]);
  });
});

withEngine('F37: kinds of real Triton', () => {
  it('cpu, model and auto are served as it takes them', async () => {
    await boot({
      supported_models: [...STEPS, 'SlowInfer'],
      model_gpu_configs: {
        default: { instances_per_gpu: 1 },
        MAM: { kind: 'cpu', instances_per_gpu: 2 },
        FastFitAll: { kind: 'model' },
        SlowInfer: { kind: 'auto' },
      },
    });
    await mic.start('MAM', 0);
    await mic.start('FastFitAll', 0);
    await mic.start('SlowInfer', 0);
    await mic.untilRunning('FastFitAll@0', 'MAM@0', 'SlowInfer@0');
    expect(await configOf('MAM')).toContain('count: 2 kind: KIND_CPU');
    expect(await configOf('FastFitAll')).toContain('kind: KIND_MODEL');
    expect(await configOf('SlowInfer')).not.toContain('instance_group');
    expect((await mic.infer('FastFitAll', [1, 2, 3, 4])).status).toBe(200);
  });
});

withEngine('F37: configurations that real Triton does not poll', () => {
  it('are ERRORs in the words of its log, each model in its own', async () => {
    await boot({ supported_models: [...STEPS, 'SlowInfer'] });
    await mic.start('SlowInfer', 2);
    await mic.untilRunning('SlowInfer@2');
    const io = 'max_batch_size: 0';
    await writeTemplate('MAM', `backend: "python" ${io}\ninstance_grup [ { count: 1 } ]`);
    await writeTemplate('FastFitAll', `name: "Another" backend: "python" ${io}`);
    await Promise.all([mic.start('MAM', 0), mic.start('FastFitAll', 1)]);
    await mic.until(async () => (await errorOf('MAM')) !== undefined);
    await mic.until(async () => (await errorOf('FastFitAll')) !== undefined);
    expect((await errorOf('MAM'))?.message).toMatch(
      /^Triton could not load MAM: Poll failed for model directory 'MAM': failed to read text proto from .*: Error parsing .* has no field named "instance_grup"/,
    );
    expect((await errorOf('FastFitAll'))?.message).toBe(
      "Triton could not load FastFitAll: Poll failed for model directory 'FastFitAll': unexpected directory name 'FastFitAll' for model 'Another', directory name must equal model name",
    );
  });
});
