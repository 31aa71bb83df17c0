import { writeFile } from 'node:fs/promises';
import { Logger } from '@nestjs/common';
import { pollUntil } from '../../src/common/deadline.js';
import { DockerLauncher } from '../../src/launchers/docker/docker-launcher.js';
import { asEngineError } from '../../src/launchers/docker/engine-errors.js';
import {
  EngineUnavailableError,
  ImageMissingError,
  LaunchFailedError,
  type LaunchSpec,
  OWNER_LABEL,
  PortInUseError,
  type ServerExit,
  StopFailedError,
} from '../../src/launchers/launcher.js';
import { FakeEngine, json } from '../fakes/launcher-engine.js';

const never = new AbortController().signal;
const owner = 'test-owner';
const labels = { [OWNER_LABEL]: owner };

const spec: LaunchSpec = {
  name: 'triton_server',
  labels: {},
  image: 'registry.test/triton:1',
  pull: 'never',
  command: ['tritonserver'],
  env: {},
  ports: [],
  bindAddress: '127.0.0.1',
  mounts: [],
  gpus: { kind: 'all' },
  ulimits: [],
  stopGraceSeconds: 1,
};

function until(condition: () => boolean): Promise<true> {
  return pollUntil(() => Promise.resolve(condition() ? true : undefined), {
    intervalMs: 5,
    signal: AbortSignal.timeout(5000),
  });
}

async function rejection(promise: Promise<unknown>): Promise<Error> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Error)) throw new TypeError('did not reject');
  return error;
}

describe('the docker launcher and an Engine that misbehaves', () => {
  let engine: FakeEngine;
  let launcher: DockerLauncher;

  function launcherAt(socketPath: string): DockerLauncher {
    return new DockerLauncher({ owner, socketPath, requestTimeoutMs: 300, pullTimeoutMs: 300 });
  }

  beforeAll(() => {
    Logger.overrideLogger(false);
  });

  beforeEach(async () => {
    engine = await FakeEngine.start();
    launcher = launcherAt(engine.socketPath);
  });

  afterEach(async () => {
    await launcher.close();
    await engine.stop();
  });

  describe('that is not reachable', () => {
    it('says so: no socket', async () => {
      const error = await rejection(launcherAt('/nonexistent/docker.sock').check(spec, never));
      expect(error).toBeInstanceOf(EngineUnavailableError);
      expect(error.message).toMatch(
        /^Cannot connect to the Docker daemon at \/nonexistent\/docker\.sock: .*ENOENT.*systemctl start docker/,
      );
    });

    it('says so: nobody behind the socket', async () => {
      // Any file that nobody accepts connections at answers as the socket of a killed daemon does.
      const socketPath = `${engine.socketPath}.dead`;
      await writeFile(socketPath, '');
      const error = await rejection(launcherAt(socketPath).inspect(spec.name, never));
      expect(error).toBeInstanceOf(EngineUnavailableError);
      expect(error.message).toMatch(/^Cannot connect to the Docker daemon .*ECONNREFUSED/);
    });

    it('says so: no permission', () => {
      // Root, as CI may be, is never refused: the error as Node has it.
      const refused = Object.assign(new Error('connect EACCES'), { code: 'EACCES' });
      expect(String(asEngineError(refused, '/run/docker.sock'))).toMatch(
        /Cannot connect .* at \/run\/docker\.sock: permission denied \(EACCES\): add the user of this service to/,
      );
    });

    it('ignores DOCKER_HOST, which names another Engine', async () => {
      process.env.DOCKER_HOST = 'tcp://127.0.0.1:1';
      try {
        engine.put({ id: 'a', name: 'mine', labels, running: true, exitCode: 0 });
        expect(await launcherAt(engine.socketPath).inspect('mine', never)).toMatchObject({ id: 'a' });
      } finally {
        delete process.env.DOCKER_HOST;
      }
    });
  });

  describe('that hangs', () => {
    it('is given up at the deadline', async () => {
      engine.override = () => true;
      const error = await rejection(launcher.inspect(spec.name, never));
      expect(error).toBeInstanceOf(EngineUnavailableError);
      expect(error.message).toMatch(/^Cannot connect to the Docker daemon at .*: no answer within 0\.3 s/);
    });

    it('is given up in the middle of an answer', async () => {
      engine.override = (_request, response) => {
        response.writeHead(200, { 'Content-Length': 1000 }).write('{');
        return true;
      };
      expect(await rejection(launcher.list({}, never))).toBeInstanceOf(EngineUnavailableError);
    });

    it('and when it breaks off in the middle of an answer', async () => {
      engine.override = (_request, response) => {
        response.writeHead(200, { 'Content-Length': 1000 }).write('{');
        setTimeout(() => response.socket?.destroy(), 20);
        return true;
      };
      expect(await rejection(launcher.list({}, never))).toBeInstanceOf(EngineUnavailableError);
    });

    it('does not hold up a caller who gives up', async () => {
      engine.override = () => true;
      const patient = new DockerLauncher({
        owner,
        socketPath: engine.socketPath,
        requestTimeoutMs: 60_000,
        pullTimeoutMs: 60_000,
      });
      const giveUp = new AbortController();
      const calls = [
        patient.inspect(spec.name, giveUp.signal),
        patient.list({}, giveUp.signal),
        patient.check(spec, giveUp.signal),
        patient.launch(spec, giveUp.signal),
        patient.stop('another', 10, giveUp.signal),
        // Waits for the launch of the same name.
        patient.stop(spec.name, 10, giveUp.signal),
      ].map(rejection);
      await until(() => engine.requests.length >= 5);
      giveUp.abort(new Error('given up'));
      for (const error of await Promise.all(calls)) expect(error.message).toBe('given up');
    });

    it('at a stop: the deadline comes after the grace', async () => {
      engine.put({ id: 'a', name: spec.name, labels, running: true, exitCode: 0 });
      engine.override = (request) => request.url?.includes('/stop') === true;
      const begin = Date.now();
      expect(await rejection(launcher.stop(spec.name, 1, never))).toBeInstanceOf(EngineUnavailableError);
      expect(Date.now() - begin).toBeGreaterThan(1200);
    });
  });

  describe('whose words are passed on', () => {
    function refuseStart(message: string): void {
      engine.override = (request, response) => {
        const url = request.url ?? '';
        if (url.startsWith('/images/')) json(response, 200, {});
        else if (url.startsWith('/containers/create')) {
          engine.put({ id: 'a', name: spec.name, labels, running: false, exitCode: 0 });
          json(response, 201, { Id: 'a' });
        } else if (url.endsWith('/start')) json(response, 500, { message });
        else if (request.method === 'DELETE') {
          engine.containers.delete('a');
          response.writeHead(204).end();
        } else return false;
        return true;
      };
    }

    it.each([
      [
        'could not select device driver "" with capabilities: [[gpu]]',
        LaunchFailedError,
        /^CUDA device not found: .*could not select device driver.*NVIDIA Container Toolkit/,
      ],
      [
        'nvidia-container-cli: device error: 9: unknown device',
        LaunchFailedError,
        /^CUDA device not found: .*unknown device.*nvidia-smi -L/,
      ],
      [
        'driver failed programming external connectivity: Bind for 127.0.0.1:8000 failed: port is already allocated',
        PortInUseError,
        /^Port 8000 already in use/,
      ],
      [
        'Error starting userland proxy: listen tcp4 127.0.0.1:8001: bind: address already in use',
        PortInUseError,
        /^Port 8001 already in use/,
      ],
      ['the moon is full', LaunchFailedError, /^triton_server could not be started: the moon is full$/],
    ])('%s', async (words, type, message) => {
      refuseStart(words);
      const error = await rejection(launcher.launch(spec, never));
      expect(error).toBeInstanceOf(type);
      expect(error.message).toMatch(message);
      expect(engine.containers.size).toBe(0);
    });

    it('a container that can not be ended', async () => {
      engine.put({ id: 'a', name: spec.name, labels, running: true, exitCode: 0 });
      engine.override = (request, response) => {
        if (request.method === 'GET') return false;
        json(response, 500, { message: 'tried to kill container, but did not receive an exit event' });
        return true;
      };
      const error = await rejection(launcher.stop(spec.name, 0, never));
      expect(error).toBeInstanceOf(StopFailedError);
      expect(error.message).toContain('did not receive an exit event');
    });

    it('a container that is still there after its removal', async () => {
      engine.put({ id: 'a', name: spec.name, labels, running: true, exitCode: 0 });
      engine.override = (request, response) => {
        if (request.method === 'GET') return false;
        response.writeHead(204).end();
        return true;
      };
      expect(await rejection(launcher.stop(spec.name, 0, never))).toBeInstanceOf(StopFailedError);
    });
  });

  describe('that pulls', () => {
    function pullWith(...events: unknown[]): void {
      engine.override = (request, response) => {
        if (request.url?.startsWith('/images/create') !== true) return false;
        response.writeHead(200).end(events.map((event) => `${JSON.stringify(event)}\r\n`).join(''));
        return true;
      };
    }

    it('tells how far it is, and what went wrong in the middle of it', async () => {
      const layer = (id: string, current: number, total: number): unknown => ({
        id,
        status: 'Downloading',
        progressDetail: { current, total },
      });
      pullWith(
        { status: 'Pulling from triton', id: '1' },
        layer('a', 10, 100),
        layer('b', 0, 100),
        layer('a', 100, 100),
        { id: 'b', status: 'Download complete', progressDetail: {} },
        { error: 'no space left on device' },
      );
      const told: string[] = [];
      const error = await rejection(
        launcher.launch({ ...spec, pull: 'if-missing' }, never, (words) => told.push(words)),
      );
      expect(error).toBeInstanceOf(ImageMissingError);
      expect(error.message).toMatch(
        /^Image registry\.test\/triton:1 could not be pulled \(no space left on device\): run/,
      );
      const image = 'registry.test/triton:1';
      expect(told).toEqual([
        `pulling ${image}`,
        `pulling ${image}: 10 %`,
        `pulling ${image}: 50 %`,
        `pulling ${image}: 100 %`,
      ]);
    });

    it('is given up at the deadline of pulls', async () => {
      engine.override = (request, response) => {
        if (request.url?.startsWith('/images/create') !== true) return false;
        response.writeHead(200).write('{"status":"Pulling"}\n');
        return true;
      };
      const error = await rejection(launcher.launch({ ...spec, pull: 'if-missing' }, never));
      expect(error).toBeInstanceOf(EngineUnavailableError);
    });
  });

  describe('whose events break off', () => {
    let exits: ServerExit[];

    beforeEach(async () => {
      exits = [];
      for (const id of ['a', 'b', 'c'])
        engine.put({ id, name: `server-${id}`, labels, running: true, exitCode: 0 });
      launcher.onExit((exit) => exits.push(exit));
      await until(() => engine.requests.filter((request) => request.endsWith('/json')).length >= 3);
    });

    it('asks for the exits of its own containers', () => {
      const request = decodeURIComponent(
        engine.requests.find((each) => each.startsWith('GET /events')) ?? '',
      );
      expect(request).toContain(`"label":["${OWNER_LABEL}=${owner}"]`);
      expect(request).toContain('"die"');
    });

    it('reports an exit, also when it comes in two pieces', async () => {
      engine.end('a', 3, true);
      await until(() => exits.length === 1);
      engine.send('{"Action":"die","Actor":{"ID":"b","Attr');
      engine.send('ibutes":{"name":"server-b","exitCode":"137"}}}\nno JSON\n{"Action":"exec_die"}\n');
      await until(() => exits.length === 2);
      expect(exits).toEqual([
        { id: 'a', name: 'server-a', exitCode: 3 },
        { id: 'b', name: 'server-b', exitCode: 137 },
      ]);
    });

    it('connects again and reports what it missed, once', async () => {
      engine.end('a', 1, true);
      await until(() => exits.length === 1);
      engine.breakStreams();
      engine.end('b', 2, false);
      engine.containers.delete('c');
      await until(() => exits.length === 3);
      expect(engine.listeners).toBe(1);
      engine.end('a', 1, true);
      engine.end('b', 2, true);
      engine.put({ id: 'd', name: 'server-d', labels, running: true, exitCode: 0 });
      engine.end('d', 4, true);
      await until(() => exits.length === 4);
      expect(exits).toEqual([
        { id: 'a', name: 'server-a', exitCode: 1 },
        { id: 'b', name: 'server-b', exitCode: 2 },
        { id: 'c', name: 'server-c', exitCode: null },
        { id: 'd', name: 'server-d', exitCode: 4 },
      ]);
    });

    it('lets go of the stream when it is closed', async () => {
      expect(engine.listeners).toBe(1);
      await launcher.close();
      await until(() => engine.listeners === 0);
    });
  });
});
