import { readdir } from 'node:fs/promises';
import { rowOf } from '../../src/host/process-identity.js';
import { NvmlNotInstalledError } from '../../src/gpus/gpu-provider.js';
import {
  ProcessForbiddenError,
  ProcessNotFoundError,
  ProcessOutOfScopeError,
} from '../../src/processes/errors.js';
import { ProcessPermissionError } from '../../src/host/host-processes.js';
import { factsFromProc, factsFromPs, readFacts } from '../../src/host/process-facts.js';
import { Children, SCRIPTS } from './children.js';
import { facts, gpu, guarded, NOBODY, rig, type SentSignal, systemError } from './rig.js';

const onLinux = process.platform === 'linux' ? it : it.skip;

describe('real processes', () => {
  const children = new Children();
  let sent: SentSignal[];
  const system = () => guarded((pid) => children.has(pid), sent);

  beforeEach(() => {
    sent = [];
  });

  afterAll(async () => {
    await children.endAll();
  });

  it('a polite one ends on SIGTERM, and the log tells who asked', async () => {
    const { pid, ended } = await children.start(SCRIPTS.polite);
    const { service, log } = rig(system());
    await expect(service.end(pid, { from: '10.0.0.9', request: 'r1' })).resolves.toEqual({
      endedBy: 'SIGTERM',
      serverName: null,
      placements: [],
    });
    await expect(ended).resolves.toEqual([null, 'SIGTERM']);
    expect(log).toHaveLength(2);
    expect(log[0]).toMatchObject({
      level: 'warn',
      process: { pid, name: 'sleep', userId: process.geteuid?.(), command: 'sleep 60' },
      from: '10.0.0.9',
      request: 'r1',
    });
    expect(log[1]).toMatchObject({ level: 'warn', endedBy: 'SIGTERM' });
    await expect(service.end(pid, NOBODY)).rejects.toThrow(ProcessNotFoundError);
  });

  it('one that ignores SIGTERM ends on SIGKILL', async () => {
    const { pid, ended } = await children.start(SCRIPTS.stubborn);
    const { service } = rig(system(), { term_grace_seconds: 0.1 });
    await expect(service.end(pid, NOBODY)).resolves.toMatchObject({ endedBy: 'SIGKILL' });
    await expect(ended).resolves.toEqual([null, 'SIGKILL']);
    expect(sent.map((each) => each.signal)).toEqual(['SIGTERM', 'SIGKILL']);
  });

  it('one whose parent does not reap it has ended, and is not there to be ended again', async () => {
    const { line } = await children.start(SCRIPTS.negligentParent);
    const pid = Number(line);
    children.own(pid);
    const { service } = rig(system());
    await expect(service.end(pid, NOBODY)).resolves.toMatchObject({ endedBy: 'SIGTERM' });
    await expect(rowOf(pid)).resolves.toMatchObject({ alive: false, state: 'Z' });
    await expect(service.end(pid, NOBODY)).rejects.toThrow(`Process ${pid} has already ended.`);
    expect(sent).toHaveLength(1);
  });

  it('many requests for one share one end', async () => {
    const { pid } = await children.start(SCRIPTS.stubborn);
    const { service } = rig(system(), { term_grace_seconds: 0.2 });
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => service.end(pid, NOBODY)));
    expect(results.map((result) => result.status)).toEqual(Array(8).fill('fulfilled'));
    expect(sent.map((each) => each.signal)).toEqual(['SIGTERM', 'SIGKILL']);
  });

  onLinux('a thread is no process', async () => {
    const { service } = rig(system());
    const threads = (await readdir('/proc/self/task')).map(Number).filter((id) => id !== process.pid);
    expect(threads.length).toBeGreaterThan(0);
    const [thread = 0] = threads;
    await expect(service.end(thread, NOBODY)).rejects.toThrow(ProcessNotFoundError);
    await expect(service.end(thread, NOBODY)).rejects.toThrow(`a thread of process ${process.pid}`);
    expect(sent).toEqual([]);
  });

  it('this service and what it descends from are never ended', async () => {
    const { service, log } = rig(system());
    for (const pid of [1, process.pid, process.ppid]) {
      await expect(service.end(pid, NOBODY)).rejects.toThrow(ProcessForbiddenError);
    }
    expect(sent).toEqual([]);
    expect(log).toEqual([]);
  });

  onLinux('kernel threads are never ended', async () => {
    // In a container there are none to be seen.
    if (!(await readFacts(2))?.isKernelThread) return;
    const { service } = rig(system());
    await expect(service.end(2, NOBODY)).rejects.toThrow('a thread of the kernel');
    expect(sent).toEqual([]);
  });

  it('a pid that nobody has', async () => {
    const { service } = rig(system());
    await expect(service.end(4_194_304, NOBODY)).rejects.toThrow(ProcessNotFoundError);
  });

  it('processes of a server are in the scope of servers and end with all of it, their cousins are not', async () => {
    const { pid: server, line } = await children.start(SCRIPTS.negligentParent);
    const child = Number(line);
    children.own(child);
    const { pid: other } = await children.start(SCRIPTS.polite);
    const { service, servers, occupants } = rig(system(), { scope: 'managed' });
    occupants.replace([
      { modelName: 'MAM', gpuId: 0, placement: 'MAM@0', pid: server, serverName: 'triton', instances: 1 },
    ]);
    await expect(service.end(other, NOBODY)).rejects.toThrow(ProcessOutOfScopeError);
    const ended = { endedBy: 'end of its server', serverName: 'triton', placements: ['MAM@0'] };
    await expect(service.end(child, NOBODY)).resolves.toEqual(ended);
    await expect(service.end(server, NOBODY)).resolves.toEqual(ended);
    const by = '127.0.0.1 (request test)';
    expect(servers.ended).toEqual([`triton by ${by}`, `triton by ${by}`]);
    // No process is singled out: that is for the server's own end.
    expect(sent).toEqual([]);
  });

  it('one that its server’s owner knows, though its parent is gone, ends with the server', async () => {
    const { pid } = await children.start(SCRIPTS.polite);
    const { service, servers, owners, occupants } = rig(system());
    owners.told.set(pid, { serverName: 'triton', container: 'triton', user: 'root' });
    occupants.replace([
      { modelName: 'MAM', gpuId: 0, placement: 'MAM@0', pid: null, serverName: 'triton', instances: 1 },
    ]);
    await expect(service.end(pid, NOBODY)).resolves.toMatchObject({ placements: ['MAM@0'] });
    servers.failure = new Error('stuck');
    await expect(service.end(pid, NOBODY)).rejects.toThrow('stuck');
  });

  it('one of a server that serves nothing is ended by itself', async () => {
    const { pid, ended } = await children.start(SCRIPTS.polite);
    const { service, servers, owners } = rig(system());
    owners.told.set(pid, { serverName: 'forgotten', container: null, user: null });
    await expect(service.end(pid, NOBODY)).resolves.toEqual({
      endedBy: 'SIGTERM',
      serverName: 'forgotten',
      placements: [],
    });
    await ended;
    expect(servers.ended).toEqual([]);
  });

  it('a dry run says what would be hit, refuses what would be refused, and signals nobody', async () => {
    const { pid } = await children.start(SCRIPTS.polite);
    const { service, servers, owners, occupants } = rig(system());
    await expect(service.foresee(pid)).resolves.toEqual({
      serverName: null,
      container: null,
      user: null,
      processes: [{ pid, name: 'sleep' }],
      isComplete: true,
      placements: [],
    });
    owners.told.set(pid, { serverName: 'triton', container: 'c', user: 'root' });
    occupants.replace([
      { modelName: 'MAM', gpuId: 0, placement: 'MAM@0', pid: null, serverName: 'triton', instances: 1 },
    ]);
    await expect(service.foresee(pid)).resolves.toEqual({
      serverName: 'triton',
      container: 'c',
      user: 'root',
      processes: [{ pid, name: 'sleep' }],
      isComplete: true,
      placements: ['MAM@0'],
    });
    await expect(service.foresee(process.pid)).rejects.toThrow(ProcessForbiddenError);
    await expect(service.foresee(4_194_304)).rejects.toThrow(ProcessNotFoundError);
    expect(sent).toEqual([]);
    expect(servers.ended).toEqual([]);
  });

  it('`ps` tells what /proc tells', async () => {
    const { pid } = await children.start(SCRIPTS.polite);
    const fromPs = await factsFromPs(pid);
    expect(fromPs).toMatchObject({ threadGroupId: pid, name: 'sleep', command: ['sleep', '60'] });
    if (process.platform === 'linux') {
      const { executable, ...rest } = (await factsFromProc(pid)) ?? {};
      expect(executable).not.toBeNull();
      expect(fromPs).toMatchObject(rest);
    }
    await expect(factsFromPs(4_194_303)).resolves.toBeUndefined();
    await expect(factsFromProc(4_194_303)).resolves.toBeUndefined();
  });
});

describe('processes on GPUs', () => {
  const target = facts();
  const dying = () => {
    let row: typeof target | undefined = target;
    return {
      facts: () => Promise.resolve(target),
      row: () => Promise.resolve(row),
      kill: (_pid: number, signal: NodeJS.Signals | 0) => {
        if (signal === 0) throw systemError('ESRCH');
        row = undefined;
      },
    };
  };

  it('are in scope while they hold memory there', async () => {
    const holding = [gpu({ processes: [{ pid: target.pid, name: 'python3', memoryMiB: 1 }] })];
    await expect(
      rig(dying(), { scope: 'gpu' }, () => holding).service.end(target.pid, NOBODY),
    ).resolves.toMatchObject({ endedBy: 'SIGTERM' });
    await expect(
      rig(dying(), { scope: 'gpu' }, () => [gpu()]).service.end(target.pid, NOBODY),
    ).rejects.toThrow(ProcessOutOfScopeError);
  });

  it('are not guessed at when the GPUs cannot be read', async () => {
    const { service } = rig(dying(), { scope: 'gpu' }, () => {
      throw new NvmlNotInstalledError('no library');
    });
    await expect(service.end(target.pid, NOBODY)).rejects.toThrow(NvmlNotInstalledError);
  });
});

describe('permission', () => {
  it('may be missing for what can be seen', async () => {
    const target = facts();
    const { service, log } = rig({
      facts: () => Promise.resolve(target),
      row: () => Promise.resolve(target),
      kill: () => {
        throw systemError('EPERM');
      },
    });
    await expect(service.end(target.pid, NOBODY)).rejects.toThrow(ProcessPermissionError);
    expect(log.map((line) => line.msg)).toEqual([
      'Ending process 4242 (python3) on request',
      'Did not end process 4242 (python3)',
    ]);
  });

  it('is missing for what is hidden', async () => {
    const { service } = rig({
      facts: () => Promise.resolve(undefined),
      row: () => Promise.resolve(undefined),
      kill: () => {
        throw systemError('EPERM');
      },
    });
    await expect(service.end(4242, NOBODY)).rejects.toThrow(ProcessPermissionError);
  });
});
