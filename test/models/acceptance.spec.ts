import { ModelLoadError } from '../../src/runners/errors.js';
import { pass, settled } from '../fakes/timers.js';
import { house } from './house-rig.js';
import { start, stop, useTwoBackends } from './supervisor-rig.js';

useTwoBackends();

/** Nothing wanted, nothing done. */
async function expectNothingChanged(): Promise<void> {
  await settled();
  expect(house.status()).toEqual([]);
  expect(house.store.wanted()).toEqual({});
  expect(house.runner.calls).toEqual([]);
}

describe('a start is refused, and changes nothing,', () => {
  it.each([
    ['when no backend has the model', 'nope', 0, {}, 'MODEL_UNKNOWN', 'invalid'],
    ['when the model is a path', '../../etc', 0, {}, 'MODEL_UNKNOWN', 'invalid'],
    ['when the model is a property of every object', '__proto__', 0, {}, 'MODEL_UNKNOWN', 'invalid'],
    ['when there is no such GPU', 'A', 4, {}, 'GPU_NOT_FOUND', 'invalid'],
    ['when an option is of no backend', 'A', 0, { colour: 'red' }, 'CONFIG_OPTION_INVALID', 'invalid'],
    ['when an option is out of range', 'A', 0, { instances: 0 }, 'CONFIG_OPTION_INVALID', 'invalid'],
  ])('%s', async (_name, model, gpuId, config, code, kind) => {
    await expect(start(model, gpuId, config)).rejects.toMatchObject({ code, kind });
    await expectNothingChanged();
  });

  it('when the checks of the backend fail', async () => {
    house.runner.preflightError = new ModelLoadError('no template');
    await expect(start('A', 0)).rejects.toThrow('no template');
    await expectNothingChanged();
  });

  it('when the checks of the backend do not end', async () => {
    house.runner.preflightHangs = true;
    const answer = expect(start('A', 0)).rejects.toMatchObject({
      code: 'PREFLIGHT_TIMEOUT',
      kind: 'unavailable',
    });
    await pass(5000);
    await answer;
    await expectNothingChanged();
  });

  it('when the disk does not take it', async () => {
    house.store.isFull = true;
    await expect(start('A', 0)).rejects.toMatchObject({ code: 'STATE_WRITE_FAILED' });
    await expectNothingChanged();
    house.store.isFull = false;
    await expect(start('A', 0)).resolves.toMatchObject({ status: 'STARTING' });
  });

  it('and leaves what serves as it is when the disk does not take a further GPU', async () => {
    await house.running('A', 0);
    house.store.isFull = true;
    await expect(start('A', 1)).rejects.toMatchObject({ code: 'STATE_WRITE_FAILED' });
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.runner.calls).toEqual([]);
  });

  it('names every option at fault', async () => {
    await expect(start('A', 0, { instances: 'x', colour: 1, size: 2 })).rejects.toThrow(
      /config\.instances: .*config\.colour is no option of fake.*config\.size is no option of fake/,
    );
  });
});

describe('a start where the model runs or starts', () => {
  it('answers with what is, and does nothing', async () => {
    house.runner.hold('start');
    await start('A', 0);
    await expect(start('A', 0)).resolves.toMatchObject({ status: 'STARTING', active_gpu_ids: [0] });
    (await house.runner.nextCall('start')).succeed();
    await settled();
    await expect(start('A', 0)).resolves.toMatchObject({ status: 'RUNNING', pid: 5_000_100, port: 8000 });
    await settled();
    expect(house.runner.calls).toEqual(['start A [0]']);
  });

  it('needs no room on a full disk, and no answer of the backend', async () => {
    await house.running('A', 0);
    house.store.isFull = true;
    house.runner.preflightError = new Error('must not be asked');
    await expect(start('A', 0)).resolves.toMatchObject({ status: 'RUNNING' });
  });

  it('of which there are many at once begins once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => start('A', 0)));
    expect(answers.map((answer) => answer.active_gpu_ids)).toEqual(Array(20).fill([0]));
    await settled();
    expect(house.runner.calls).toEqual(['start A [0]']);
  });
});

describe('the options of a model', () => {
  it('are those of the configuration where a start says nothing', async () => {
    await expect(start('A', 0)).resolves.toMatchObject({ total_instances: 2 });
    expect(house.store.saved.get('A')?.options).toEqual({ instances: 2 });
  });

  it('are taken over by a further GPU', async () => {
    await start('A', 0, { instances: 5 });
    await expect(start('A', 1)).resolves.toMatchObject({ total_instances: 10 });
    await expect(start('A', 2, { instances: 5 })).resolves.toMatchObject({ total_instances: 15 });
  });

  it.each([0, 1])('cannot differ on GPU %d while the model is on GPU 0', async (gpuId) => {
    await start('A', 0, { instances: 5 });
    await expect(start('A', gpuId, { instances: 2 })).rejects.toMatchObject({
      code: 'OPTIONS_CONFLICT',
      kind: 'conflict',
      message: expect.stringContaining('{"instances":5}') as unknown,
    });
  });

  it('are chosen anew when the model is nowhere any more', async () => {
    await start('A', 0, { instances: 5 });
    await stop('A', 0);
    await expect(start('A', 0)).resolves.toMatchObject({ total_instances: 2 });
  });

  it('are chosen anew after an ERROR', async () => {
    house.runner.failNext('start', new ModelLoadError('no memory for 5'));
    await start('A', 0, { instances: 5 });
    await settled();
    await expect(start('A', 0, { instances: 1 })).resolves.toMatchObject({ total_instances: 1 });
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });
});
