import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TestService } from '../support/service.js';

const MODELS = ['MAM', 'FastFitAll'];
const GPUS = [0, 1, 2, 3];
/** By so much the state grows with one more placement that was ended over the API, about, bytes. */
const ERROR_BYTES = 225;
/** With a listener for the signal, a write beyond the limit is an error, and not the end of the process. */
const SURVIVE_SIGXFSZ = '--import=data:text/javascript,process.on(%22SIGXFSZ%22,Boolean)';

let service: TestService;

beforeEach(async () => {
  service = await TestService.create({
    models: Object.fromEntries(MODELS.map((model) => [model, { load_seconds: 0.1 }])),
    env: { NODE_OPTIONS: SURVIVE_SIGXFSZ },
  });
  await service.boot();
});

afterEach(() => service.dispose());

/** The state has room to grow by so much, as on a disk that is full from there on: of a larger one, a part is written. */
async function leaveRoom(bytes: number): Promise<void> {
  const { size } = await stat(join(service.stateDir, 'desired-state.json'));
  const limit = [`--pid=${service.pid}`, `--fsize=${size + bytes}:unlimited`];
  const { status, stderr } = spawnSync('prlimit', limit);
  expect([status, stderr.toString()]).toEqual([0, '']);
}

/** These placements run in that server and are wanted, also after a kill -9 of the service. */
async function expectUntouched(placements: readonly string[], pid: number): Promise<void> {
  const running = placements.map((placement) => `${placement}:RUNNING`);
  expect(await service.placements()).toEqual(running);
  expect(await service.desired()).toEqual(placements);
  await service.end('SIGKILL');
  await service.boot();
  await service.untilRunning(...placements);
  expect(await service.desired()).toEqual(placements);
  expect(await service.serverPids()).toEqual([pid]);
}

const onLinux = process.platform === 'linux' ? it : it.skip;

describe('the disk becomes full', () => {
  onLinux(
    'in the middle of what a start writes down: it is refused, and what was written stays whole',
    async () => {
      await service.start('MAM', 0);
      await service.untilRunning('MAM@0');
      const [pid = 0] = await service.serverPids();
      await leaveRoom(20);
      expect(await service.start('FastFitAll', 1)).toMatchObject({
        status: 500,
        body: { code: 'STATE_WRITE_FAILED' },
      });
      await expectUntouched(['MAM@0'], pid);
    },
  );

  onLinux(
    'before the second of two models whose server is to end: it is ended all the same, and written once there is room',
    async () => {
      for (const gpu of GPUS) for (const model of MODELS) await service.start(model, gpu);
      const all = MODELS.flatMap((model) => GPUS.map((gpu) => `${model}@${gpu}`)).sort();
      await service.untilRunning(...all);
      const [pid = 0] = await service.serverPids();
      const end = () => service.call('DELETE', `/api/v1/processes/${pid}`);
      await leaveRoom(1.5 * GPUS.length * ERROR_BYTES);
      const { status, body } = await end();
      expect([status, body.status]).toEqual([200, 'killed']);
      expect(body.message).toContain('written as soon as it can be');
      // What was written stays whole.
      expect(await service.desired()).toEqual(all);
      for (const model of MODELS)
        expect(await service.errorOf(model)).toMatchObject({ code: 'ENDED_OVER_API' });
      expect(await service.serverPids()).toEqual([]);
      await leaveRoom(1_000_000);
      await service.until(async () => (await service.desired()).length === 0);
    },
  );
});
