import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { problemsOf } from '../support/openapi-document.js';
import { freePorts } from '../support/ports.js';
import { TestService } from '../support/service.js';

interface Item {
  readonly model_name: string;
  readonly gpu_id: number;
  readonly pid: number;
  readonly port: number;
  readonly ports?: Readonly<Record<string, number>>;
  readonly outdated?: readonly string[];
  readonly in_catalog?: false;
}

const STATUS = '/api/v1/models/status';

/** As MLServer is: requests, readiness and metrics, each on a port of its own. */
const three = {
  command: [process.execPath, join(process.cwd(), 'test/fakes/three-ports-server.mjs')],
  ports: ['admin', 'metrics'],
  args: ['--http', '{port}'],
  env: { ADMIN_PORT: '{port.admin}', METRICS_PORT: '{port.metrics}' },
  ...{ health_path: '/ready', health_port: 'admin' },
  drain: { path: '/metrics', port: 'metrics', metrics: ['server_requests_in_progress'] },
};

let service: TestService;
let first: number;
const strangers: Server[] = [];

beforeEach(async () => {
  const [port = 0] = await freePorts(1);
  first = Math.min(port, 32_700);
});

afterEach(async () => {
  for (const stranger of strangers.splice(0)) stranger.close();
  await service.dispose();
});

async function boot(models: Record<string, unknown>, count = 20): Promise<void> {
  service = await TestService.create({
    config: { restart: { initial_delay_ms: 50, max_delay_ms: 100 } },
    runners: { http: { launcher: 'process', ports: { from: first, to: first + count - 1 }, models } },
  });
  await service.boot();
}

function takePort(offset: number): Promise<void> {
  return new Promise((resolve) => {
    strangers.push(createServer().listen(first + offset, '127.0.0.1', resolve));
  });
}

async function items(query = ''): Promise<Item[]> {
  const { status, body } = await service.get<Item[]>(`${STATUS}${query}`);
  expect(status).toBe(200);
  expect(body.flatMap((item) => problemsOf('ModelStatusItem', item))).toEqual([]);
  return body;
}

async function work(port: number | undefined, ms: number): Promise<number> {
  const url = `http://127.0.0.1:${port}/work?ms=${ms}`;
  return (await fetch(url, { headers: { Connection: 'close' } })).status;
}

describe('F40: a server on several ports', () => {
  it('is reached, asked and drained on the port that is for it, also by the next run of the service', async () => {
    await boot({ three });
    const { status, body: accepted } = await service.start('three', 0);
    expect([status, accepted.port, accepted.ports]).toEqual([202, null, undefined]);
    await service.untilRunning('three@0');
    const ports = { http: first, admin: first + 1, metrics: first + 2 };
    const [item] = await items();
    expect(item).toMatchObject({ port: first, ports });
    for (const query of ['?status=RUNNING', '/three']) expect(await items(query)).toEqual([item]);
    const again = await service.start('three', 0);
    expect(again.body).toMatchObject({ port: first, ports, placements: [{ port: first, ports }] });
    expect(problemsOf('ModelInstanceInfo', again.body)).toEqual([]);

    await service.end();
    await service.boot();
    await service.untilRunning('three@0');
    expect(await items()).toEqual([item]);

    await service.end();
    await writeFile(join(service.stateDir, 'desired-state.json'), 'no state');
    await service.boot();
    await service.untilRunning('three@0');
    expect(await items()).toMatchObject([{ pid: item?.pid, port: first, ports }]);

    const request = work(item?.port, 2000);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const stop = await service.stop('three', 0, { drain_seconds: 10 });
    expect(stop).toMatchObject({ status: 200, body: { status: 'STOPPED', drained: true, port: null } });
    expect(stop.body).not.toHaveProperty('ports');
    expect(await request).toBe(200);
    expect(await service.serverPids()).toEqual([]);
  });

  it('gets none that a stranger has, and is refused before anything changes where too few are left', async () => {
    await takePort(1);
    await takePort(3);
    await boot({ three, other: three }, 6);
    await service.start('three', 0);
    await service.untilRunning('three@0');
    expect(await items()).toMatchObject([{ ports: { http: first, admin: first + 2, metrics: first + 4 } }]);
    const words = `Ports of runners.http.ports (${first}–${first + 5}) already in use: http_server_other_0 needs 3, and no more than 1 can be had`;
    expect(await service.start('other', 0)).toMatchObject({
      status: 500,
      body: { code: 'PORT_IN_USE', detail: expect.stringContaining(words) },
    });
    // One answer serves a few seconds: the first is that of the boot, when there were enough.
    await service.until(async () => {
      const { body: checks } = await service.get<Record<string, unknown>[]>('/health/checks');
      return JSON.stringify(checks).includes(words);
    });
    expect(await service.serverPids()).toHaveLength(1);
    strangers[0]?.close();
    strangers[1]?.close();
    await service.start('other', 0);
    await service.untilRunning('other@0', 'three@0');
  });

  it('shares none with the others of its range, and gets three again after its end', async () => {
    await boot({ three, other: { ...three, ports: ['metrics', 'admin'] } }, 12);
    await Promise.all(['three', 'other'].flatMap((model) => [0, 1].map((gpu) => service.start(model, gpu))));
    await service.untilRunning('other@0', 'other@1', 'three@0', 'three@1');
    const before = await items();
    expect(new Set(before.flatMap(({ ports = {} }) => Object.values(ports))).size).toBe(12);
    const [lost] = before;
    process.kill(lost?.pid ?? 0, 'SIGKILL');
    await service.until(async () =>
      (await items()).some(({ pid }) => pid > 0 && !before.some((each) => each.pid === pid)),
    );
    await service.untilRunning('other@0', 'other@1', 'three@0', 'three@1');
    const after = await items();
    expect(after.map(({ ports }) => ports)).toEqual(before.map(({ ports }) => ports));
  });

  it('keeps them where the configuration has others by now, or the model no more', async () => {
    await boot({ three });
    await service.start('three', 0);
    await service.untilRunning('three@0');
    const [before] = await items();
    await service.end();
    await service.editRunners(({ http }) => {
      Object.assign(http ?? {}, {
        models: {
          three: {
            ...three,
            ports: ['admin', 'stats'],
            env: { ADMIN_PORT: '{port.admin}', METRICS_PORT: '{port.stats}' },
            drain: { ...three.drain, port: 'stats' },
          },
        },
      });
    });
    await service.boot();
    await service.untilRunning('three@0');
    expect(await items()).toMatchObject([
      { pid: before?.pid, ports: before?.ports, outdated: ['env', 'args'] },
    ]);
    await service.end();
    await service.editRunners(({ http }) => Object.assign(http ?? {}, { models: {} }));
    await service.boot();
    await service.untilRunning('three@0');
    expect(await items()).toMatchObject([{ pid: before?.pid, ports: before?.ports, in_catalog: false }]);
    expect((await service.stop('three', 0)).status).toBe(200);
    expect(await service.serverPids()).toEqual([]);
  });

  it('is asked about by checks and plans, which keep its ports from nobody', async () => {
    await boot({ a: three, b: three, c: three }, 3);
    const { body: found } = await service.get<{ name: string; status: string }[]>('/health/checks');
    expect(found.filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(service.log).not.toContain('already in use');
    const plans = (): Promise<unknown>[] =>
      ['a', 'b', 'c'].map(async (model) => {
        const plan = { model_name: model, gpu_id: 0 };
        return (await service.call('POST', '/api/v1/models/plan', plan)).body.would;
      });
    expect(await Promise.all(plans())).toEqual(['start', 'start', 'start']);
    for (const model of ['c', 'a', 'b']) {
      const looks = [...plans(), service.get('/health/checks')];
      expect((await service.start(model, 0)).status).toBe(202);
      await service.untilRunning(`${model}@0`);
      await Promise.all(looks);
      expect((await Promise.all(plans())).sort()).toEqual(['nothing', 'refuse', 'refuse']);
      expect((await service.stop(model, 0)).status).toBe(200);
    }
  });

  it('a server on one port has no list of them', async () => {
    await boot({
      one: {
        command: [process.execPath, join(process.cwd(), 'test/fakes/workers-server.mjs')],
        ...{ args: ['{port}', 'dies', 'die'], health_path: '/work' },
      },
    });
    await service.start('one', 0);
    await service.untilRunning('one@0');
    const [item] = await items();
    expect(item?.port).toBe(first);
    expect(item).not.toHaveProperty('ports');
    expect((await service.start('one', 0)).body).not.toHaveProperty('ports');
  });
});
