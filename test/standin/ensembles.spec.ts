import { ModelLifecycle } from '../../standin/tritonserver/lifecycle.js';
import { inferThrough } from '../../standin/tritonserver/ensembles.js';
import { glog } from '../../standin/tritonserver/log.js';
import { FakeRepositories } from './fake-repositories.js';
import { ManualPace } from './manual-pace.js';

const TENSORS = ['input', 'output']
  .map((kind) => `${kind} [ { name: "${kind.toUpperCase()}" data_type: TYPE_FP32 dims: [ 4 ] } ]`)
  .join(' ');
const STEP = `backend: "python" ${TENSORS} instance_group [ { count: 1 kind: KIND_CPU } ]`;

function ensembleOf(...steps: string[]): string {
  const tensors = ['INPUT', ...steps.slice(1).map((_, index) => `mid${index}`), 'OUTPUT'];
  const step = (model: string, index: number): string =>
    `{ model_name: "${model}" model_version: -1
       input_map { key: "INPUT" value: "${tensors[index] ?? ''}" }
       output_map { key: "OUTPUT" value: "${tensors[index + 1] ?? ''}" } }`;
  return `platform: "ensemble" ${TENSORS} ensemble_scheduling { step [ ${steps.map(step).join(', ')} ] }`;
}

/** Each case was tried on Triton's own binary (2.58), and is in its words. */
describe('ensembles of the stand-in', () => {
  let repositories: FakeRepositories;
  let pace: ManualPace;
  let lifecycle: ModelLifecycle;
  let lines: string[];

  beforeEach(() => {
    repositories = new FakeRepositories();
    for (const step of ['A', 'B']) repositories.writeConfig(step, STEP);
    repositories.writeConfig('E', ensembleOf('A', 'B'));
    pace = new ManualPace();
    lines = [];
    lifecycle = new ModelLifecycle(
      repositories,
      [],
      pace,
      glog((line) => lines.push(line)),
    );
  });

  const load = async (...names: string[]): Promise<void> => {
    for (const name of names) {
      const loading = lifecycle.load(name);
      await pace.end(`load ${name}`);
      await loading;
    }
  };
  const ready = (): string[] => ['A', 'B', 'E'].filter((name) => lifecycle.isReady(name));

  it('have their steps loaded first, and no instances', async () => {
    const loading = lifecycle.load('E');
    for (const model of ['A', 'B', 'E']) await pace.end(`load ${model}`);
    await loading;
    expect(ready()).toEqual(['A', 'B', 'E']);
    expect(lifecycle.serving('E').config).toMatchObject({
      platform: 'ensemble',
      instance_group: [],
      ensemble_scheduling: {
        step: [{ model_name: 'A', input_map: { INPUT: 'INPUT' }, output_map: { OUTPUT: 'mid0' } }, {}],
      },
    });
  });

  it('pass a request from step to step', async () => {
    await load('A', 'B', 'E');
    const request = {
      id: '7',
      inputs: [{ name: 'INPUT', datatype: 'FP32', shape: [4], data: [1, 2, 3, 4] }],
      outputs: ['OUTPUT'],
    };
    const { config } = lifecycle.serving('E');
    // Each step waits for an instance and takes its time.
    const answer = inferThrough(request, config, '1', (step) => lifecycle.serving(step));
    await pace.end('infer A');
    await pace.end('infer B');
    expect(await answer).toEqual({
      id: '7',
      model_name: 'E',
      model_version: '1',
      outputs: [{ name: 'OUTPUT', datatype: 'FP32', shape: [4], data: [7, 11, 15, 19] }],
    });
  });

  it('go with a step, and come back with it', async () => {
    await load('A', 'B', 'E');
    await lifecycle.unload('A');
    expect(ready()).toEqual(['B']);
    expect(lines.join('\n')).toContain('ensemble E contains models that are not available or ambiguous: A');
    await pace.end('unload A');
    await pace.end('unload E');
    const loading = lifecycle.load('A');
    await pace.end('load A');
    await pace.end('load E');
    await loading;
    expect(ready()).toEqual(['A', 'B', 'E']);
  });

  it('that were unloaded themselves do not come back with a step', async () => {
    await load('A', 'B', 'E');
    await lifecycle.unload('E');
    await lifecycle.unload('A');
    await pace.end('unload A');
    await load('A');
    expect(ready()).toEqual(['A', 'B']);
  });

  it('are refused where a step cannot be had', async () => {
    repositories.writeConfig('E', ensembleOf('A', 'Nowhere'));
    const loading = lifecycle.load('E');
    const refusal = expect(loading).rejects.toThrow(
      "load failed for model 'E': ensemble E contains models that are not available or ambiguous: Nowhere",
    );
    await pace.end('load A');
    await refusal;
    expect(ready()).toEqual(['A']);
    expect(lines.join('\n')).toContain("failed to poll model 'Nowhere': model not found");
  });

  it('are refused where they contain themselves', async () => {
    repositories.writeConfig('E', ensembleOf('A', 'E'));
    await expect(lifecycle.load('E')).rejects.toThrow('circular dependency between ensembles: E -> ... -> E');
  });
});
