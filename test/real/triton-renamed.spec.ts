import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { containersOf, docker, engineAnswers, removeContainersOf } from '../support/docker.js';
import { createRealTriton } from '../support/real-triton.js';
import type { TestService } from '../support/service.js';

jest.setTimeout(120_000);

/** Longer than what nobody wants is left alone, ms. */
const GRACE_MS = 4000;

let mic: TestService;

afterEach(async () => {
  await mic.dispose();
  await removeContainersOf(mic.instanceName);
});

async function containers(): Promise<string[]> {
  return (await containersOf(mic.instanceName)).map(({ Id }) => Id);
}

async function servesOn(...placements: string[]): Promise<void> {
  await mic.untilRunning(...placements);
  const calm = performance.now() + GRACE_MS;
  await mic.until(async () => {
    expect((await mic.placements()).length).toBe(placements.length);
    expect((await mic.get('/api/v1/models/orphans')).body).toEqual([]);
    expect((await mic.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    return performance.now() > calm;
  });
}

const withEngine = (await engineAnswers()) ? describe : describe.skip;

withEngine('F27: a container whose name is another in the configuration', () => {
  it('serves on, is ended under its old name, and comes back under the new one', async () => {
    mic = await createRealTriton({}, { orphans: { interval_seconds: 0.5, grace_seconds: 1 } });
    await mic.boot();
    await mic.start('MAM', 0);
    await mic.untilRunning('MAM@0');
    const before = await containers();
    await mic.end('SIGKILL');
    await mic.configure({ runners: { triton: { container_name: `renamed-${mic.port}` } } });
    await mic.boot();
    await servesOn('MAM@0');
    expect(await containers()).toEqual(before);
    await docker.getContainer(before[0] ?? '').kill();
    await mic.until(async () => (await containers()).join() !== before.join(), 60_000);
    await servesOn('MAM@0');
    const [after, ...more] = await containersOf(mic.instanceName);
    expect([after?.Names, more]).toEqual([[`/renamed-${mic.port}`], []]);
    expect((await mic.stop('MAM', 0)).status).toBe(200);
    expect(await containers()).toEqual([]);
  });
});
