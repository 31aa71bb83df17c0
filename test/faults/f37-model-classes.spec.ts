import { afterEach, describe, expect, it } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensembleTemplate } from '../support/ensemble-template.js';
import { type ServiceSettings, TestService } from '../support/service.js';

let service: TestService;

afterEach(() => service.dispose());

const QUICK = { load_seconds: 0.1, unload_seconds: 0.05 };
const file = (...path: string[]): string => join(service.repository, ...path);

/** Pipeline is an ensemble of MAM and FastFitAll. */
async function boot(settings: ServiceSettings = {}): Promise<void> {
  service = await TestService.create({
    ...settings,
    models: { MAM: QUICK, FastFitAll: QUICK, Pipeline: QUICK },
  });
  await writeTemplate('Pipeline', ensembleTemplate('Pipeline', ['MAM', 'FastFitAll']));
  await service.boot();
}

const writeTemplate = (model: string, text: string): Promise<void> =>
  writeFile(file(model, 'config.pbtxt.template'), text);
const editTemplate = async (model: string, addition: string): Promise<void> =>
  writeTemplate(model, `${await readFile(file(model, 'config.pbtxt.template'), 'utf8')}\n${addition}\n`);

async function runPipeline(): Promise<void> {
  await service.start('MAM', 0);
  await service.start('FastFitAll', 1);
  await service.untilRunning('FastFitAll@1', 'MAM@0');
  expect((await service.start('Pipeline', 0)).status).toBe(202);
  await service.untilRunning('FastFitAll@1', 'MAM@0', 'Pipeline@0');
}

const loaded = async (): Promise<string[]> =>
  (await service.tritonIndex()).filter(({ state }) => state === 'READY').map(({ name }) => name);

describe('F37: an ensemble', () => {
  it('has no instances, is ready by the word of Triton, and stops without its steps', async () => {
    await boot();
    await runPipeline();
    expect((await service.infer('Pipeline', [1, 2, 3, 4])).output).toEqual([7, 11, 15, 19]);
    expect(await readFile(file('Pipeline/config.pbtxt'), 'utf8')).not.toContain('instance_group');
    // A further placement changes nothing for Triton, nor does its stop.
    expect((await service.start('Pipeline', 1)).status).toBe(202);
    await service.untilRunning('FastFitAll@1', 'MAM@0', 'Pipeline@0', 'Pipeline@1');
    expect((await service.stop('Pipeline', 0)).status).toBe(200);
    expect((await service.infer('Pipeline', [1, 2, 3, 4])).status).toBe(200);
    expect((await service.stop('Pipeline', 1)).status).toBe(200);
    expect((await service.infer('Pipeline', [1, 2, 3, 4])).status).toBe(404);
    expect(await loaded()).toEqual(['FastFitAll', 'MAM']);
  });

  it('whose steps do not run is refused before anything changes, and they are named', async () => {
    await boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const refused = await service.start('Pipeline', 0);
    expect(refused).toMatchObject({ status: 409, body: { code: 'ENSEMBLE_STEPS_NOT_RUNNING' } });
    expect(refused.body.detail).toMatch(/: FastFitAll\. Start these first/);
    const wish = { model_name: 'Pipeline', gpu_id: 0 };
    expect((await service.call('POST', '/api/v1/models/plan', wish)).body).toMatchObject({
      would: 'refuse',
      reason: { code: 'ENSEMBLE_STEPS_NOT_RUNNING' },
    });
    await writeTemplate('Pipeline', ensembleTemplate('Pipeline', ['MAM', 'Nowhere', 'Pipeline']));
    expect((await service.start('Pipeline', 0)).body.detail).toMatch(
      /: Nowhere \(not in runners\.triton\.supported_models\), Pipeline \(the ensemble itself\)\./,
    );
    expect(await service.desired()).toEqual(['MAM@0']);
    expect(await loaded()).toEqual(['MAM']);
  });

  it('whose step has a Triton of its own is refused: they have to be on one', async () => {
    await boot({
      triton: {
        model_gpu_configs: { default: {}, FastFitAll: { use_dedicated_server: true } },
      },
    });
    await service.start('MAM', 0);
    await service.start('FastFitAll', 1);
    await service.untilRunning('FastFitAll@1', 'MAM@0');
    expect((await service.start('Pipeline', 0)).body).toMatchObject({
      code: 'ENSEMBLE_STEPS_NOT_RUNNING',
      detail: expect.stringContaining('FastFitAll (on another Triton, by use_dedicated_server)'),
    });
  });

  it('is an ERROR that names the step, when that is stopped, and brings no step back', async () => {
    await boot();
    await runPipeline();
    expect((await service.stop('MAM', 0)).status).toBe(200);
    expect(await service.untilError('Pipeline')).toMatchObject({
      code: 'ENSEMBLE_STEPS_NOT_RUNNING',
      message: expect.stringMatching(/^Pipeline is an ensemble of models that do not run: MAM\. /),
    });
    expect(await loaded()).toEqual(['FastFitAll']);
    await service.start('MAM', 2);
    await service.untilRunning('FastFitAll@1', 'MAM@2');
    expect(await loaded()).toEqual(['FastFitAll', 'MAM']);
    expect((await service.start('Pipeline', 0)).status).toBe(202);
    await service.untilRunning('FastFitAll@1', 'MAM@2', 'Pipeline@0');
  });

  it('comes back after its steps when their Triton has died, each with one load', async () => {
    await boot();
    await runPipeline();
    const [pid = 0] = await service.serverPids();
    process.kill(pid, 'SIGKILL');
    await service.until(async () => (await service.placements()).every((each) => each.endsWith('STARTING')));
    await service.untilRunning('FastFitAll@1', 'MAM@0', 'Pipeline@0');
    for (const model of ['MAM', 'FastFitAll', 'Pipeline']) expect(await service.loadsOf(model)).toBe(2);
  });

  it('is an ERROR when a step fails to come back', async () => {
    await boot();
    await runPipeline();
    await service.writeModel('MAM', { ...QUICK, fail_load: 'its weights are gone' });
    const [pid = 0] = await service.serverPids();
    process.kill(pid, 'SIGKILL');
    expect((await service.untilError('Pipeline')).message).toContain('models that do not run: MAM.');
    expect((await service.untilError('MAM')).code).toBe('MODEL_LOAD_FAILED');
    await service.untilRunning('FastFitAll@1');
  });

  it('is taken up again by a service that has lost its state', async () => {
    await boot();
    await runPipeline();
    await service.end('SIGKILL');
    await writeFile(join(service.stateDir, 'desired-state.json'), 'rubbish');
    await service.boot();
    await service.untilRunning('FastFitAll@1', 'MAM@0', 'Pipeline@0');
  });

  it.each([
    [
      'an instance_group',
      'instance_group [ { count: 1 } ]',
      'remove it, an ensemble runs where its steps do',
    ],
    ['another platform', 'platform: "onnxruntime_onnx"', 'is no ensemble: add platform: "ensemble"'],
  ])('with %s in its template is refused before anything changes', async (_what, addition, words) => {
    await boot();
    await editTemplate('Pipeline', addition);
    expect(await service.start('Pipeline', 0)).toMatchObject({
      status: 500,
      body: { code: 'MODEL_CONFIG_FAILED', detail: expect.stringContaining(words) },
    });
  });
});

/** Settings of one model, beside the defaults. */
const only = (model: string, settings: Record<string, unknown>): ServiceSettings => ({
  triton: { model_gpu_configs: { default: { instances_per_gpu: 2 }, [model]: settings } },
});

const configOf = (model: string): Promise<string> => readFile(file(model, 'config.pbtxt'), 'utf8');

/** Models that the GPU shows among its processes. */
async function shownOn(gpu: number): Promise<string[]> {
  const { body } =
    await service.get<{ id: number; processes: { model_name: string | null }[] }[]>('/api/v1/gpus');
  return (body[gpu]?.processes ?? []).map(({ model_name: model }) => model ?? '');
}

describe('F37: a model of another kind', () => {
  it("cpu: its instances are on the CPU, and it is in nobody's way on the GPU of its name", async () => {
    await boot({
      ...only('MAM', { kind: 'cpu', instances_per_gpu: 3 }),
      config: { gpus: { source: 'simulated', policies: { '1': 'exclusive' } } },
    });
    expect((await service.start('FastFitAll', 1)).status).toBe(202);
    expect((await service.start('MAM', 1)).status).toBe(202);
    expect((await service.start('MAM', 2)).body).toMatchObject({ total_instances: 6 });
    await service.untilRunning('FastFitAll@1', 'MAM@1', 'MAM@2');
    expect(await configOf('MAM')).toMatch(
      /{ name: "gpu_1" count: 3 kind: KIND_CPU },\n {2}{ name: "gpu_2" count: 3 kind: KIND_CPU }/,
    );
    await service.until(async () => (await shownOn(1)).join() === 'FastFitAll');
    expect(await shownOn(2)).toEqual([]);
    // Nor does what runs elsewhere keep it out, or it them.
    expect((await service.stop('FastFitAll', 1)).status).toBe(200);
    expect((await service.start('FastFitAll', 1)).status).toBe(202);
    await service.untilRunning('FastFitAll@1', 'MAM@1', 'MAM@2');
    const plan = await service.call('POST', '/api/v1/models/plan', { model_name: 'MAM', gpu_id: 3 });
    expect(plan.body).toMatchObject({ accepted: true, needs_mb: 0 });
  });

  it('cpu: is served where Triton sees no such GPU', async () => {
    await boot({
      triton: {
        gpus: 'device=0',
        model_gpu_configs: { default: {}, MAM: { kind: 'cpu' } },
      },
    });
    expect((await service.start('FastFitAll', 3)).body).toMatchObject({ code: 'GPU_NOT_USABLE' });
    expect((await service.start('MAM', 3)).status).toBe(202);
    await service.untilRunning('MAM@3');
  });

  it('model: the model chooses its devices', async () => {
    await boot(only('MAM', { kind: 'model', instances_per_gpu: 2 }));
    await service.start('MAM', 1);
    await service.untilRunning('MAM@1');
    expect(await configOf('MAM')).toContain('{ name: "gpu_1" count: 2 kind: KIND_MODEL }');
    await service.until(async () => (await shownOn(1)).join() === 'MAM');
  });

  it('auto: Triton chooses all, also by the template; how many is not for a start to say', async () => {
    await boot(only('MAM', { kind: 'auto' }));
    expect(await service.start('MAM', 0, { instances_per_gpu: 4 })).toMatchObject({
      status: 400,
      body: {
        code: 'CONFIG_OPTION_INVALID',
        detail: expect.stringContaining('leaves the instances to Triton'),
      },
    });
    expect((await service.start('MAM', 0)).body).toMatchObject({ total_instances: 1 });
    await service.untilRunning('MAM@0');
    expect(await configOf('MAM')).not.toContain('instance_group [');
    await service.end('SIGKILL');
    await writeFile(join(service.stateDir, 'desired-state.json'), 'rubbish');
    await service.boot();
    await service.untilRunning('MAM@0');
    expect(await service.loadsOf('MAM')).toBe(1);
    expect((await service.stop('MAM', 0)).status).toBe(200);
    await editTemplate('MAM', 'instance_group [ { name: "mine" count: 2 kind: KIND_CPU } ]');
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    expect(await configOf('MAM')).toContain('name: "mine"');
  });

  it('that is given another kind is loaded as that, in place, when the service comes up', async () => {
    await boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    await service.end('SIGKILL');
    await service.configure({
      runners: { triton: { model_gpu_configs: { default: {}, MAM: { kind: 'cpu' } } } },
    });
    await service.boot();
    await service.until(async () => (await configOf('MAM')).includes('KIND_CPU'));
    await service.untilRunning('MAM@0');
  });

  it('that there is not is no configuration', async () => {
    service = await TestService.create(only('MAM', { kind: 'gpus' }));
    await expect(service.boot()).rejects.toThrow('model_gpu_configs.MAM.kind');
  });
});

describe('F37: a configuration that Triton does not poll', () => {
  it('is an ERROR in the words of its log, each model in its own', async () => {
    await boot();
    await editTemplate('MAM', 'instance_grup [ { count: 1 } ]');
    await writeTemplate('FastFitAll', 'name: "Another" backend: "python"');
    await Promise.all([service.start('MAM', 0), service.start('FastFitAll', 1)]);
    expect(await service.untilError('MAM')).toMatchObject({
      code: 'MODEL_LOAD_FAILED',
      message: expect.stringMatching(
        /^Triton could not load MAM: Poll failed for model directory 'MAM': failed to read text proto from .*config\.pbtxt: Error parsing .* has no field named "instance_grup"/,
      ),
    });
    expect(await service.untilError('FastFitAll')).toMatchObject({
      message:
        "Triton could not load FastFitAll: Poll failed for model directory 'FastFitAll': unexpected directory name 'FastFitAll' for model 'Another', directory name must equal model name",
    });
  });

  it('is told anew each time, on a server that goes on', async () => {
    await boot();
    await service.start('FastFitAll', 1);
    await service.untilRunning('FastFitAll@1');
    for (const field of ['first_fault', 'second_fault']) {
      await service.writeModel('MAM', QUICK);
      await editTemplate('MAM', `${field}: 1`);
      await service.start('MAM', 0);
      await service.until(async () => (await service.errorOf('MAM'))?.message.includes(field) === true);
    }
  });
});
