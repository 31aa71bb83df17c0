import { writeFile } from 'node:fs/promises';
import { DockerLauncher } from '../../src/launchers/docker/docker-launcher.js';
import { asEngineError } from '../../src/launchers/docker/engine-errors.js';
import { EngineUnavailableError } from '../../src/launchers/launcher.js';
import {
  engine,
  labels,
  launcher,
  launcherAt,
  never,
  owner,
  rejection,
  spec,
  until,
  useFakeEngine,
} from './docker-launcher-rig.js';

describe('the docker launcher and an Engine that misbehaves', () => {
  useFakeEngine();

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
});
