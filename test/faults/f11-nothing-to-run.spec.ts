import { afterEach, describe, expect, it } from '@jest/globals';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DockerTestService } from '../support/docker-service.js';
import { TestService } from '../support/service.js';

const RESTART = { initial_delay_ms: 50, max_attempts: 2 };
const MODELS = { MAM: { load_seconds: 0.1 } };
const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const each of cleanUp.splice(0).reverse()) await each();
});

async function bootWith(command: readonly string[]): Promise<TestService> {
  const service = await TestService.create({
    models: MODELS,
    triton: { command },
    config: { restart: RESTART },
  });
  cleanUp.push(() => service.dispose());
  await service.boot();
  return service;
}

async function program(text: string, mode: number): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'mic-program-'));
  cleanUp.push(() => rm(directory, { recursive: true }));
  const path = join(directory, 'tritonserver');
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

describe('F11: there is nothing that could be run', () => {
  it('the executable is missing: refused, with its name and the remedy', async () => {
    const service = await bootWith(['/no/such/tritonserver']);
    expect(await service.start('MAM', 0)).toMatchObject({
      status: 500,
      body: {
        code: 'COMMAND_MISSING',
        detail: expect.stringMatching(
          /^Command not found: \/no\/such\/tritonserver .*install it, or correct/,
        ),
      },
    });
    expect(await service.placements()).toEqual([]);
    expect(await service.serverPids()).toEqual([]);
  });

  it('it is there and not executable: refused, and says so', async () => {
    const path = await program('#!/bin/sh\nexit 0\n', 0o644);
    const service = await bootWith([path]);
    expect(await service.start('MAM', 0)).toMatchObject({
      status: 500,
      body: {
        code: 'COMMAND_MISSING',
        detail: expect.stringContaining(`${path} is not there or not executable`),
      },
    });
    expect(await service.placements()).toEqual([]);
  });

  it('its interpreter is missing: ERROR that names it', async () => {
    const path = await program('#!/no/such/interpreter\n', 0o755);
    const service = await bootWith([path]);
    expect((await service.start('MAM', 0)).status).toBe(202);
    expect(await service.untilError('MAM')).toMatchObject({
      code: 'COMMAND_MISSING',
      message: expect.stringMatching(new RegExp(`^Command not found: ${path} `)),
    });
    expect(await service.serverPids()).toEqual([]);
  });

  it('it ends at once: ERROR with its exit code and its last lines', async () => {
    const path = await program('#!/bin/sh\necho "error while loading libcudart.so" >&2\nexit 127\n', 0o755);
    const service = await bootWith([path]);
    expect((await service.start('MAM', 0)).status).toBe(202);
    const error = await service.untilError('MAM');
    expect(error).toMatchObject({ code: 'SERVER_LOST', message: expect.stringContaining('exit code 127') });
    expect(error.log).toContain('error while loading libcudart.so');
  });

  it('the image is missing: refused, with its name and the remedy', async () => {
    const house = await DockerTestService.boot({ models: MODELS, triton: { image_name: 'never/built:1' } });
    cleanUp.push(() => house.dispose());
    expect(await house.service.start('MAM', 0)).toMatchObject({
      status: 500,
      body: {
        code: 'IMAGE_MISSING',
        detail: expect.stringMatching(/never\/built:1 .*docker pull never\/built:1/),
      },
    });
    expect(house.engine.changes()).toEqual([]);
  });

  it('the image is without tritonserver: ERROR that names both, and no container is left', async () => {
    const house = await DockerTestService.boot({ models: MODELS, config: { restart: RESTART } });
    cleanUp.push(() => house.dispose());
    house.engine.refuseStart = () =>
      'OCI runtime create failed: exec: "tritonserver": executable file not found in $PATH: unknown';
    expect((await house.service.start('MAM', 0)).status).toBe(202);
    expect(await house.service.untilError('MAM')).toMatchObject({
      code: 'COMMAND_MISSING',
      message: expect.stringMatching(
        /^Command not found: tritonserver is not in image registry\.test\/triton:1/,
      ),
    });
    expect([...house.engine.fake.containers]).toEqual([]);
  });
});
