import { afterEach, describe, expect, it } from '@jest/globals';
import { OWNER_LABEL } from '../../src/launchers/launcher.js';
import { DockerTestService } from '../support/docker-service.js';

let house: DockerTestService;

afterEach(() => house.dispose());

describe("F10: the container name is taken by a container that isn't ours", () => {
  it.each([
    ['of no service, running', {}, true],
    ['of no service, ended', {}, false],
    ['of another service', { [OWNER_LABEL]: 'another' }, true],
  ])('%s: refused, and it is not touched', async (_whose, labels, running) => {
    house = await DockerTestService.boot({ models: { MAM: { load_seconds: 0.1 } } });
    const { service, engine } = house;
    const theirs = { id: 'abc', name: 'triton_server', labels, running, exitCode: 0 };
    engine.fake.put(theirs);
    const refused = await service.start('MAM', 0);
    expect(refused).toMatchObject({ status: 500, body: { code: 'NAME_TAKEN' } });
    expect(refused.body.detail).toMatch(
      /^The container name triton_server is taken by a container that is not this service's \(abc\): remove it/,
    );
    expect(await service.placements()).toEqual([]);
    expect(engine.changes()).toEqual([]);
    // A stop of what does not run is none of theirs, either.
    expect((await service.stop('MAM', 0)).status).toBe(404);
    expect(engine.changes()).toEqual([]);
    expect(engine.fake.containers.get('abc')).toEqual({ ...theirs });

    engine.fake.containers.delete('abc');
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
  });
});
