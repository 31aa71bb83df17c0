import { OWNER_LABEL, type ServerExit } from '../../src/launchers/launcher.js';
import { Logger } from '@nestjs/common';
import { jest } from '@jest/globals';
import { engine, labels, launcher, never, owner, until, useFakeEngine } from './docker-launcher-rig.js';

describe('the docker launcher and an Engine that misbehaves', () => {
  useFakeEngine();

  describe('whose events break off', () => {
    let exits: ServerExit[];
    let warnings: unknown[];

    beforeEach(async () => {
      exits = [];
      warnings = [];
      jest.spyOn(Logger.prototype, 'warn').mockImplementation((words: unknown) => void warnings.push(words));
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

    it('reports that one ran out of memory with its limit, also when it ends a while later', async () => {
      const [limited, free] = ['e', 'f'];
      engine.put({
        ...{ id: limited, name: 'server-e', labels, running: true, exitCode: 0 },
        memoryLimit: 512 * 2 ** 20,
      });
      engine.put({ id: free, name: 'server-f', labels, running: true, exitCode: 0 });
      await launcher.list({}, never);
      const oom = (id: string): void => {
        const Actor = { ID: id, Attributes: { ...labels, name: `server-${id}` } };
        engine.send(`${JSON.stringify({ Type: 'container', Action: 'oom', Actor })}\n`);
      };
      oom(limited);
      await until(() => launcher.outOfMemory(limited) !== undefined);
      oom(free);
      await until(() => launcher.outOfMemory(free) !== undefined);
      expect(launcher.outOfMemory(limited)).toBe('out of memory: memory_limit is 512 MiB');
      expect(launcher.outOfMemory('a')).toBeUndefined();
      expect(warnings).toEqual([
        'server-e is out of memory: memory_limit is 512 MiB; the kernel has ended a process of it',
        'server-f is out of memory; the kernel has ended a process of it',
      ]);
      expect(await launcher.inspect('server-e', never)).not.toHaveProperty('reason');
      engine.end(limited, 1, true);
      await until(() => exits.length === 1);
      expect(exits[0]).toMatchObject({ exitCode: 1, reason: 'out of memory: memory_limit is 512 MiB' });
      expect(await launcher.inspect('server-e', never)).toMatchObject({
        reason: 'out of memory: memory_limit is 512 MiB',
      });
    });

    it('tells by an inspection, too, with the limit that was hit', async () => {
      engine.put({
        ...{ id: 'g', name: 'server-g', labels, running: false, exitCode: 137 },
        ...{ memoryLimit: 1.5 * 2 ** 30, oomKilled: true },
      });
      expect(await launcher.inspect('server-g', never)).toMatchObject({
        exitCode: 137,
        reason: 'out of memory: memory_limit is 1.5 GiB',
      });
    });

    it('lets go of the stream when it is closed', async () => {
      expect(engine.listeners).toBe(1);
      await launcher.close();
      await until(() => engine.listeners === 0);
    });
  });
});
