import { jest } from '@jest/globals';
import { join } from 'node:path';
import { createServer, type Server } from 'node:net';
import { pollUntil } from '../../../src/common/deadline.js';
import { HttpRunner } from '../../../src/runners/http/http-runner.js';
import { httpSection } from '../../../src/runners/http/http-section.js';
import { labelled, labelsOf, portsIn } from '../../../src/runners/placement-server/server-labels.js';
import type { Deployment } from '../../../src/runners/deployment.js';
import type { PlacementObservation } from '../../../src/runners/observation.js';
import { RunnerRig } from '../../support/runner-rig.js';

const THREE_PORTS = join(process.cwd(), 'test/fakes/three-ports-server.mjs');
const never = new AbortController().signal;
const context = {
  ...{ signal: never, gpus: [{ id: 0, uuid: 'GPU-0' }], wanted: () => [], onProgress: () => undefined },
  patienceMs: 0,
};

const three = {
  command: [process.execPath, THREE_PORTS],
  ports: ['admin', 'metrics'],
  args: ['--http', '{port}'],
  env: { ADMIN_PORT: '{port.admin}', METRICS_PORT: '{port.metrics}' },
  ...{ health_path: '/ready', health_port: 'admin' },
  drain: { path: '/metrics', port: 'metrics', metrics: ['server_requests_in_progress'] },
};

describe('the ports of a server by name', () => {
  const one = {
    ...{ backend: 'http', modelName: 'm', gpuId: 0, gpus: [{ id: 0, uuid: null }], options: {} },
    ports: new Map([['http', 18_500]]),
  };

  it('are in its labels, and one port is as it always was', () => {
    expect(Object.keys(labelsOf(one))).not.toContain('model-inference-client.ports');
    expect(labelled(labelsOf(one))).toEqual(one);
    const more = { ...one, ports: new Map([...one.ports, ['grpc', 18_501], ['metrics', 18_507]]) };
    expect(labelsOf(more)).toMatchObject({
      'model-inference-client.port': '18500',
      'model-inference-client.ports': 'grpc=18501,metrics=18507',
    });
    expect(labelled(labelsOf(more))).toEqual(more);
  });

  it.each(['', 'grpc', 'grpc=', 'grpc=1;metrics=2', 'grpc=123456', '=1'])(
    'are not those of a server with the label %j',
    (text) => {
      const labels = { ...labelsOf(one), 'model-inference-client.ports': text };
      expect(portsIn(labels)).toBeUndefined();
      expect(labelled(labels)).toBeUndefined();
    },
  );
});

describe('a server on several ports', () => {
  let rig: RunnerRig;
  const blockers: Server[] = [];

  beforeEach(async () => {
    rig = await RunnerRig.create();
  });

  afterEach(async () => {
    for (const blocker of blockers.splice(0)) blocker.close();
    await rig.dispose();
  });

  function runnerOn(models: Record<string, unknown>, ports = rig.ports): HttpRunner {
    const config = httpSection.parse({
      ...{ enabled: true, launcher: 'process', container_name: 'http_server' },
      ...{ ports, start_timeout_seconds: 10, stop_grace_seconds: 1, models },
    });
    return new HttpRunner(config, rig.host());
  }

  /** Somebody else has this port of the range. */
  function block(offset: number): Promise<void> {
    return new Promise((resolve) => {
      blockers.push(createServer().listen(rig.firstPort + offset, '127.0.0.1', resolve));
    });
  }

  function deployment(modelName: string, ...gpuIds: number[]): Deployment {
    return { modelName, gpuIds, options: {} };
  }

  async function look(runner: HttpRunner, modelName: string): Promise<PlacementObservation> {
    const [seen] = await runner.getStatus(deployment(modelName, 0), never);
    if (!seen) throw new Error('nothing seen');
    return seen;
  }

  function offsets({ ports }: PlacementObservation): Record<string, number> {
    return Object.fromEntries([...(ports ?? [])].map(([name, port]) => [name, port - rig.firstPort]));
  }

  it('has each for itself, and is asked on the one that its YAML names', async () => {
    const runner = runnerOn({ three });
    await runner.start(deployment('three', 0), context);
    const seen = await look(runner, 'three');
    expect(seen).toMatchObject({ phase: 'ready', port: rig.firstPort });
    expect(offsets(seen)).toEqual({ http: 0, admin: 1, metrics: 2 });
    const busy = fetch(`http://127.0.0.1:${seen.port}/work?ms=1000`);
    await pollUntil(
      async () => ((await runner.workload(deployment('three'), [0], never))?.open === 1 ? true : undefined),
      { intervalMs: 20, signal: AbortSignal.timeout(5000) },
    );
    expect((await busy).status).toBe(200);
    expect(await runner.workload(deployment('three'), [0], never)).toEqual({ open: 0, finished: 0 });
  });

  it('passes over what others have, wherever in the range, and is told how many are missing', async () => {
    await block(1);
    const runner = runnerOn({ three, other: three }, { from: rig.firstPort, to: rig.firstPort + 4 });
    await runner.preflight(deployment('three', 0), context);
    await runner.start(deployment('three', 0), context);
    expect(offsets(await look(runner, 'three'))).toEqual({ http: 0, admin: 2, metrics: 3 });
    for (const call of ['preflight', 'start'] as const) {
      await expect(runner[call](deployment('other', 0), context)).rejects.toMatchObject({
        code: 'PORT_IN_USE',
        message: expect.stringMatching(
          /^Ports of runners\.http\.ports \(.*\) already in use: http_server_other_0 needs 3, and no more than 1 can be had: widen that range\.$/,
        ) as string,
      });
    }
    await runner.stop(deployment('three'), [0], context);
    await runner.start(deployment('other', 0), context);
  });

  it('is not started beside one with a port that was given away after the look', async () => {
    const runner = runnerOn({ three });
    const host = rig.launchers[0];
    if (!host) throw new Error('no launcher');
    const check = jest.spyOn(host, 'launch').mockImplementationOnce(async (spec, ...more) => {
      await block((spec.ports[2]?.port ?? 0) - rig.firstPort);
      check.mockRestore();
      return host.launch(spec, ...more);
    });
    await expect(runner.start(deployment('three', 0), context)).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      facts: { port: rig.firstPort + 2 },
    });
    await runner.start(deployment('three', 0), context);
    expect(offsets(await look(runner, 'three'))).toEqual({ http: 0, admin: 1, metrics: 3 });
  });

  it('many at once share no port', async () => {
    const runner = runnerOn({ three, other: three });
    await Promise.all([
      runner.start(deployment('three', 0, 1), context),
      runner.start(deployment('other', 0, 1, 2), context),
    ]);
    const seen = [
      ...(await runner.getStatus(deployment('three', 0, 1), never)),
      ...(await runner.getStatus(deployment('other', 0, 1, 2), never)),
    ];
    const ports = seen.flatMap((each) => [...(each.ports?.values() ?? [])]);
    expect(seen.map(({ phase }) => phase)).toEqual(Array.from({ length: 5 }, () => 'ready'));
    expect(new Set(ports).size).toBe(15);
  });

  it('keeps its ports from others while it does not listen yet', async () => {
    const runner = runnerOn({ slow: { ...three, args: [...three.args, '--after', '1500'] }, other: three });
    const start = runner.start(deployment('slow', 0), context);
    await pollUntil(async () => ((await look(runner, 'slow')).phase === 'starting' ? true : undefined), {
      intervalMs: 20,
      signal: AbortSignal.timeout(5000),
    });
    await runner.start(deployment('other', 0), context);
    expect(offsets(await look(runner, 'other'))).toEqual({ http: 3, admin: 4, metrics: 5 });
    await start;
    expect(offsets(await look(runner, 'slow'))).toEqual({ http: 0, admin: 1, metrics: 2 });
  });

  it('is found again on the same ports, whatever the configuration has by then', async () => {
    const before = runnerOn({ three });
    await before.start(deployment('three', 0), context);
    const seen = await look(before, 'three');
    await rig.closeLaunchers();
    const same = runnerOn({ three });
    expect(await look(same, 'three')).toEqual(seen);
    expect(seen).not.toHaveProperty('outdated');
    await rig.closeLaunchers();
    const elsewhere = runnerOn({ three, other: three }, { from: rig.firstPort + 2, to: rig.firstPort + 10 });
    expect(await look(elsewhere, 'three')).toEqual(seen);
    await elsewhere.start(deployment('other', 0), context);
    expect(offsets(await look(elsewhere, 'other'))).toEqual({ http: 3, admin: 4, metrics: 5 });
  });

  it('serves on where the configuration names other ports, which is said', async () => {
    const before = runnerOn({ three });
    await before.start(deployment('three', 0), context);
    const { pid } = await look(before, 'three');
    await rig.closeLaunchers();
    const others = runnerOn({
      three: {
        ...three,
        ports: ['admin', 'metrics', 'health'],
        args: [...three.args, '{port.health}'],
        ...{ health_port: 'health', drain: { ...three.drain, port: 'health' } },
      },
    });
    expect(await look(others, 'three')).toMatchObject({ phase: 'ready', pid, outdated: ['args'] });
    await expect(others.workload(deployment('three'), [0], never)).rejects.toThrow(
      'was launched without the port health',
    );
    await rig.closeLaunchers();
    const fewer = runnerOn({
      three: { ...three, ports: ['admin'], env: { ADMIN_PORT: '{port.admin}' }, drain: undefined },
    });
    expect(await look(fewer, 'three')).toMatchObject({ phase: 'ready', pid, outdated: ['env', 'args'] });
  });

  it('says in its words on which port it was asked', async () => {
    const runner = runnerOn({
      astray: { ...three, health_path: '/nowhere', start_timeout_seconds: 3 },
      plain: { ...three, drain: { ...three.drain, port: 'http' } },
    });
    await expect(runner.start(deployment('astray', 0), context)).rejects.toThrow(
      /last answer: GET \/nowhere on port admin \(\d+\) answered 404\./,
    );
    await runner.start(deployment('plain', 0), context);
    await expect(runner.workload(deployment('plain'), [0], never)).rejects.toThrow(
      'GET /metrics answered 404',
    );
  });
});
