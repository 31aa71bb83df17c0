import { expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { containersOf, docker } from '../support/docker.js';
import { TRITON_IMAGE } from '../support/real-triton.js';
import { boot, containerName, errorOf, mic, useRealTriton, withEngine } from './triton-rig.js';

jest.setTimeout(180_000);
useRealTriton();

withEngine('what is in the way of real Triton', () => {
  it('F9: a port that another container has: refused with its name, and nothing is changed', async () => {
    await boot();
    const port = mic.tritonPorts.http;
    const other = await docker.createContainer({
      Image: TRITON_IMAGE,
      name: `other_${mic.instanceName}`,
      Cmd: ['sleep', '600'],
      ExposedPorts: { [`${port}/tcp`]: {} },
      HostConfig: {
        AutoRemove: true,
        PortBindings: { [`${port}/tcp`]: [{ HostIp: '127.0.0.1', HostPort: String(port) }] },
      },
    });
    try {
      await other.start();
      const refused = await mic.start('MAM', 0);
      expect(refused).toMatchObject({ status: 500, body: { code: 'PORT_IN_USE' } });
      expect(refused.body.detail).toMatch(
        new RegExp(`^Port ${port} already in use by container other_${mic.instanceName}`),
      );
      expect(await containersOf(mic.instanceName)).toEqual([]);
      expect(await mic.placements()).toEqual([]);
    } finally {
      await other.remove({ force: true });
    }
  });

  it('F9: a port that a plain process has: refused with its pid, and nothing is changed', async () => {
    await boot();
    const holder = createServer();
    holder.listen(mic.tritonPorts.metrics, '127.0.0.1');
    await once(holder, 'listening');
    try {
      const refused = await mic.start('MAM', 0);
      expect(refused).toMatchObject({ status: 500, body: { code: 'PORT_IN_USE' } });
      expect(refused.body.detail).toMatch(
        new RegExp(`^Port ${mic.tritonPorts.metrics} already in use by process ${process.pid}`),
      );
      expect(await containersOf(mic.instanceName)).toEqual([]);
    } finally {
      holder.close();
    }
    expect((await mic.start('MAM', 0)).status).toBe(202);
  });

  it("F10: its name on a container that isn't ours: refused, and theirs is not touched", async () => {
    await boot();
    const theirs = await docker.createContainer({
      Image: TRITON_IMAGE,
      name: containerName(),
      Cmd: ['sleep', '600'],
    });
    try {
      await theirs.start();
      const before = await theirs.inspect();
      expect(await mic.start('MAM', 0)).toMatchObject({ status: 500, body: { code: 'NAME_TAKEN' } });
      const after = await theirs.inspect();
      expect(after.State).toEqual(before.State);
      expect(after.Id).toBe(before.Id);
      expect(await mic.placements()).toEqual([]);
    } finally {
      await theirs.remove({ force: true });
    }
  });

  it('F11: an image without tritonserver: an ERROR that names it and says so', async () => {
    await boot({ image_name: 'mic-test/no-tritonserver:1' }, { restart: { max_attempts: 1 } });
    await mic.start('MAM', 0);
    await mic.until(async () => (await errorOf('MAM')) !== undefined, 30_000);
    expect((await errorOf('MAM'))?.message).toMatch(/tritonserver|command not found/);
    await mic.until(async () => (await containersOf(mic.instanceName)).length === 0, 30_000);
  });
});
