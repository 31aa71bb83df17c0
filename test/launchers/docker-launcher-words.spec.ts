import { LaunchFailedError, PortInUseError, StopFailedError } from '../../src/launchers/launcher.js';
import { HostPathMissingError } from '../../src/launchers/host-paths.js';
import { json } from '../fakes/launcher-engine.js';
import { engine, labels, launcher, never, rejection, spec, useFakeEngine } from './docker-launcher-rig.js';

const hostPaths = [{ path: '/no/such/runtime', setting: 'runners.triton.runtime_host_path' }];

describe('the docker launcher and an Engine that misbehaves', () => {
  useFakeEngine();

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
      [
        'invalid mount config for type "bind": bind source path does not exist: /no/such/runtime',
        HostPathMissingError,
        /^\/no\/such\/runtime is not on this host, .*correct runners\.triton\.runtime_host_path\.$/,
      ],
      ['the moon is full', LaunchFailedError, /^triton_server could not be started: the moon is full$/],
    ])('%s', async (words, type, message) => {
      refuseStart(words);
      const error = await rejection(launcher.launch({ ...spec, hostPaths }, never));
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
});
