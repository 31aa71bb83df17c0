import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { DockerTestService } from '../support/docker-service.js';
import { TestService } from '../support/service.js';

const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const each of cleanUp.splice(0).reverse()) await each();
});

async function holdPort(port: number): Promise<Server> {
  const holder = createServer();
  holder.listen(port, '127.0.0.1');
  await once(holder, 'listening');
  cleanUp.push(() => new Promise((resolve) => holder.close(resolve)));
  return holder;
}

/** Nothing was accepted, nothing written into the model, nothing launched. */
async function expectUntouched(service: TestService): Promise<void> {
  expect(await service.placements()).toEqual([]);
  expect((await service.get('/api/v1/models/status/MAM')).status).toBe(404);
  expect(await service.serverPids()).toEqual([]);
  expect(await readdir(join(service.repository, 'MAM'))).not.toContain('config.pbtxt');
}

describe('F9: a port of Triton is taken', () => {
  it.each(['http', 'grpc', 'metrics'] as const)(
    'by a plain process (%s): refused before anything changes, with its pid; and possible when it is free',
    async (port) => {
      const service = await TestService.create({ models: { MAM: { load_seconds: 0.1 } } });
      cleanUp.push(() => service.dispose());
      await service.boot();
      const number = service.tritonPorts[port];
      const holder = await holdPort(number);
      const refused = await service.start('MAM', 0);
      expect(refused).toMatchObject({ status: 500, body: { code: 'PORT_IN_USE' } });
      expect(refused.body.detail).toMatch(
        new RegExp(`^Port ${number} already in use by process ${process.pid} `),
      );
      await expectUntouched(service);
      holder.close();
      expect((await service.start('MAM', 0)).status).toBe(202);
      await service.untilRunning('MAM@0');
    },
  );

  it('by another container: refused before anything changes, with its name', async () => {
    const { service, engine, dispose } = await bootOnDocker();
    cleanUp.push(dispose);
    const port = service.tritonPorts.http;
    engine.fake.put({ id: 'b', name: 'theirs', labels: {}, running: true, exitCode: 0, publishes: [port] });
    const refused = await service.start('MAM', 0);
    expect(refused).toMatchObject({ status: 500, body: { code: 'PORT_IN_USE' } });
    expect(refused.body.detail).toMatch(new RegExp(`^Port ${port} already in use by container theirs`));
    await expectUntouched(service);
    expect(engine.changes()).toEqual([]);
  });

  it('by a process, under the docker launcher: the same, with its pid', async () => {
    const { service, engine, dispose } = await bootOnDocker();
    cleanUp.push(dispose);
    const port = service.tritonPorts.grpc;
    await holdPort(port);
    const refused = await service.start('MAM', 0);
    expect(refused.body.detail).toMatch(
      new RegExp(`^Port ${port} already in use by process ${process.pid} `),
    );
    await expectUntouched(service);
    expect(engine.changes()).toEqual([]);
  });
});

async function bootOnDocker(): Promise<
  Pick<DockerTestService, 'service' | 'engine'> & { dispose: () => Promise<void> }
> {
  const house = await DockerTestService.boot({ models: { MAM: { load_seconds: 0.1 } } });
  return { service: house.service, engine: house.engine, dispose: () => house.dispose() };
}
