import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ScriptedService, type StatusItem } from '../support/scripted-service.js';

const GRACE_SECONDS = 2;
const DRAINING = expect.stringMatching(/^waiting until requests are worked off/);

let house: ScriptedService;

beforeAll(async () => {
  const keys = { stop_grace_seconds: GRACE_SECONDS };
  const drain = { path: '/metrics', metrics: ['scripted:open'] };
  house = await ScriptedService.boot({ scripted: { deaf: keys, busy: { ...keys, drain }, slow: keys } });
});

afterAll(() => house.dispose());

/** Distinct looks at GPU 0 of a model in a row, from now until it is gone. */
async function seenUntilGone(model: string): Promise<Omit<StatusItem, 'gpu_id'>[]> {
  const seen: string[] = [];
  await house.service.until(async () => {
    const item = await house.statusOn(model, 0);
    if (!item) return true;
    const { status, progress } = item;
    const look = JSON.stringify({ status, progress });
    if (seen.at(-1) !== look) seen.push(look);
    return false;
  });
  return seen.map((look) => JSON.parse(look) as StatusItem);
}

describe('a placement that is being stopped', () => {
  it('keeps its status, pid and port, and says that it is stopping, until its server has ended', async () => {
    await house.plays('deaf', 0, { isDeaf: true });
    await house.running('deaf', 0, 1);
    const placement = { gpu_id: 0, status: 'RUNNING' };
    const { body: before } = await house.service.start('deaf', 1);
    const { pid } = await house.launch('deaf', 0, 1);
    expect(before.placements).toMatchObject([{ ...placement, pid, port: expect.any(Number) }, {}]);

    const stopping = house.service.stop('deaf', 0);
    await house.service.until(async () => (await house.statusOn('deaf', 0))?.progress !== undefined, 1000);
    const { body: during } = await house.service.start('deaf', 1);
    const [shown] = before.placements as [object];
    expect(during.placements).toMatchObject([{ ...shown, progress: 'stopping' }, { status: 'RUNNING' }]);
    expect(during.placements).not.toMatchObject([{}, { progress: expect.anything() }]);
    expect(await seenUntilGone('deaf')).toEqual([{ status: 'RUNNING', progress: 'stopping' }]);

    const { status, body: after } = await stopping;
    expect(status).toBe(200);
    expect((after.placements as StatusItem[])[0]).toEqual({
      ...{ gpu_id: 0, status: 'STOPPED' },
      ...{ pid: null, port: null, gpu_uuid: expect.any(String) },
      ...{ options: expect.any(Object), since: expect.any(String), restarts: 0 },
    });
  });

  it('says what its drain waits for, then that it is stopping', async () => {
    await house.plays('busy', 0, { isDeaf: true, openRequests: 2 });
    await house.running('busy', 0);
    const stopping = house.service.stop('busy', 0, { drain_seconds: 1 });
    await house.service.until(async () => (await house.statusOn('busy', 0))?.progress !== undefined, 1000);
    const seen = await seenUntilGone('busy');
    expect(seen.at(-1)).toEqual({ status: 'RUNNING', progress: 'stopping' });
    expect(seen.slice(0, -1)).toContainEqual({ status: 'RUNNING', progress: DRAINING });
    expect(seen.filter(({ status, progress }) => status !== 'RUNNING' || progress === undefined)).toEqual([]);
    expect((await stopping).status).toBe(200);
  });

  it('says so, too, where it was still starting', async () => {
    await house.plays('slow', 0, { isDeaf: true, readyAfterMs: 60_000 });
    await house.service.start('slow', 0);
    await house.launch('slow', 0, 1);
    const stopping = house.service.stop('slow', 0);
    await house.service.until(async () => (await house.statusOn('slow', 0))?.progress === 'stopping', 1000);
    expect(await seenUntilGone('slow')).toEqual([{ status: 'STARTING', progress: 'stopping' }]);
    expect((await stopping).status).toBe(200);
  });
});
