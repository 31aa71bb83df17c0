import { OWNER_LABEL, type ServerExit } from '../../src/launchers/launcher.js';
import { engine, labels, launcher, owner, until, useFakeEngine } from './docker-launcher-rig.js';

describe('the docker launcher and an Engine that misbehaves', () => {
  useFakeEngine();

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
