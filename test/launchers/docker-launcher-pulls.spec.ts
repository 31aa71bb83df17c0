import { EngineUnavailableError, ImageMissingError } from '../../src/launchers/launcher.js';
import { engine, launcher, never, rejection, spec, useFakeEngine } from './docker-launcher-rig.js';

describe('the docker launcher and an Engine that misbehaves', () => {
  useFakeEngine();

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
});
