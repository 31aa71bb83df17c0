import { jest } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { callHttp } from '../../../src/common/http/http-client.js';
import { pollUntil } from '../../../src/common/deadline.js';
import { PortInUseError } from '../../../src/launchers/launcher.js';
import { GpuNotUsableError, ServerLostError, ServerUnfitError } from '../../../src/runners/errors.js';
import type { Deployment } from '../../../src/runners/deployment.js';
import type { RunnerContext } from '../../../src/runners/runner-context.js';
import type { RunnerHost } from '../../../src/runners/runner-host.js';
import type { PlacementServerConfig } from '../../../src/runners/placement-server/placement-server-section.js';
import { TinyRunner, tinyConfig } from '../../fakes/tiny-runner.js';
import { processesOf } from '../../support/processes.js';
import { RunnerRig } from '../../support/runner-rig.js';

const GPUS = [0, 1, 2, 3].map((id) => ({ id, uuid: id === 3 ? null : `GPU-${id}` }));
const never = new AbortController().signal;

function context(): RunnerContext & { patienceMs: number } {
  return { signal: never, gpus: GPUS, wanted: () => [], onProgress: () => undefined, patienceMs: 0 };
}

function deployment(modelName: string, gpuIds: number[], size = 1): Deployment {
  return { modelName, gpuIds, options: { size } };
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer().listen(port, '127.0.0.1', () => {
      resolve(server);
    });
  });
}

describe('a server per placement', () => {
  let rig: RunnerRig;

  beforeEach(async () => {
    rig = await RunnerRig.create();
  });

  afterEach(() => rig.dispose());

  function runnerWith(changes: Partial<PlacementServerConfig> = {}): TinyRunner {
    return new TinyRunner(tinyConfig({ ports: rig.ports, ...changes }), rig.host());
  }

  async function visible(port: number | null | undefined): Promise<{ gpus: string; argv: string[] }> {
    const url = `http://127.0.0.1:${port}/visible`;
    const { body } = await callHttp({ method: 'GET', url, signal: AbortSignal.timeout(5000) });
    return JSON.parse(body) as { gpus: string; argv: string[] };
  }

  it('is left alone by a start that is about another GPU, whatever its options', async () => {
    const runner = runnerWith();
    await runner.start(deployment('quick', [0]), context());
    const [before] = await runner.getStatus(deployment('quick', [0]), never);
    const other = deployment('quick', [1], 2);
    expect(runner.unitOf('quick', 1)).not.toBe(runner.unitOf('quick', 0));
    await runner.preflight(other, context());
    await runner.start(other, context());
    const [after] = await runner.getStatus(deployment('quick', [0]), never);
    expect([after?.phase, after?.pid]).toEqual(['ready', before?.pid]);
    expect(await runner.getStatus(deployment('quick', [1], 2), never)).toMatchObject([{ phase: 'ready' }]);
  });

  it('is named after its placement, has a port of its own, and sees its GPUs alone, by UUID', async () => {
    const runner = runnerWith();
    await runner.start(deployment('quick', [0, 3]), context());
    const [first, second] = await runner.getStatus(deployment('quick', [0, 3]), never);
    expect([first?.serverName, second?.serverName]).toEqual(['tiny_quick_0', 'tiny_quick_3']);
    expect([first?.port, second?.port].sort()).toEqual([rig.firstPort, rig.firstPort + 1]);
    expect((await visible(first?.port)).gpus).toBe('GPU-0');
    expect((await visible(second?.port)).gpus).toBe('3');
    const servers = await rig.launchers[0]?.list({ 'model-inference-client.backend': 'tiny' }, never);
    expect(servers?.find(({ name }) => name === 'tiny_quick_3')?.labels).toMatchObject({
      'model-inference-client.model': 'quick',
      'model-inference-client.gpu': '3',
      'model-inference-client.gpus': '3=',
      'model-inference-client.port': String(second?.port),
      'model-inference-client.options': '{"size":1}',
    });
  });

  it('sees all GPUs that its placement holds, and none with device: cpu', async () => {
    const runner = runnerWith();
    runner.spread = 2;
    await runner.start(deployment('quick', [1]), context());
    const [spread] = await runner.getStatus(deployment('quick', [1]), never);
    expect((await visible(spread?.port)).gpus).toBe('GPU-1,GPU-2');
    const onCpu = runnerWith({ device: 'cpu', container_name: 'tiny-cpu' });
    await onCpu.start(deployment('quick', [0]), context());
    const [cpu] = await onCpu.getStatus(deployment('quick', [0]), never);
    expect((await visible(cpu?.port)).gpus).toBe('-1');
  });

  it('passes over a port that somebody has, and says so when none is left', async () => {
    const holder = await listen(rig.firstPort);
    try {
      const runner = runnerWith({ ports: { from: rig.firstPort, to: rig.firstPort + 1 } });
      await runner.start(deployment('quick', [0]), context());
      expect((await runner.getStatus(deployment('quick', [0]), never))[0]?.port).toBe(rig.firstPort + 1);
      const more = runner.preflight(deployment('quick', [0, 1]), context());
      await expect(more).rejects.toBeInstanceOf(PortInUseError);
      await expect(more).rejects.toThrow(/^Port \d+ already in use.*runners\.tiny\.ports/);
      await runner.stop(deployment('quick', []), [0], context());
      await runner.start(deployment('quick', [1]), context());
    } finally {
      holder.close();
    }
  });

  it('preflights lease no port for good', async () => {
    const runner = runnerWith({ ports: { from: rig.firstPort, to: rig.firstPort } });
    for (const gpuId of [0, 1, 2]) await runner.preflight(deployment('quick', [gpuId]), context());
    await runner.start(deployment('quick', [3]), context());
  });

  it('checks see the same free port, and keep it from nobody', async () => {
    const runner = runnerWith({ ports: { from: rig.firstPort, to: rig.firstPort } });
    const checks = (): Promise<void>[] =>
      [0, 1, 2].map((gpuId) => runner.preflight(deployment('quick', [gpuId]), context()));
    await Promise.all(checks());
    const more = Promise.allSettled(checks());
    await runner.start(deployment('quick', [3]), context());
    await more;
    expect((await runner.getStatus(deployment('quick', [3]), never))[0]?.port).toBe(rig.firstPort);
    await expect(runner.preflight(deployment('quick', [0]), context())).rejects.toBeInstanceOf(
      PortInUseError,
    );
  });

  it.each([
    { left: 2, refusal: undefined },
    { left: 1, refusal: /^Port \d+ already in use, and so is every other of runners\.tiny\.ports/ },
  ])(
    'a check whose port another start gets meanwhile goes by those that are left ($left in all)',
    async ({ left, refusal }) => {
      const runner = runnerWith({ ports: { from: rig.firstPort, to: rig.firstPort + left - 1 } });
      const [launcher] = rig.launchers;
      if (!launcher) throw new Error('no launcher');
      const check = jest.spyOn(launcher, 'check').mockImplementationOnce(async (...asked) => {
        check.mockRestore();
        await runner.start(deployment('quick', [0]), context());
        return launcher.check(...asked);
      });
      const found = runner.preflight(deployment('quick', [1]), context());
      if (refusal) await expect(found).rejects.toThrow(refusal);
      else await found;
    },
  );

  it('a check is told who has its port where no other start has got it', async () => {
    const runner = runnerWith();
    const [launcher] = rig.launchers;
    if (!launcher) throw new Error('no launcher');
    const error = new PortInUseError(`Port ${rig.firstPort} already in use by container theirs`);
    jest.spyOn(launcher, 'check').mockRejectedValue(error);
    await expect(runner.preflight(deployment('quick', [0]), context())).rejects.toBe(error);
  });

  it('what its probe finds final is thrown, and shows until it is stopped', async () => {
    const runner = runnerWith();
    const wrong = deployment('wrong-device', [0]);
    await expect(runner.start(wrong, context())).rejects.toBeInstanceOf(GpuNotUsableError);
    expect(await runner.getStatus(wrong, never)).toMatchObject([
      { phase: 'absent', reason: 'It runs on the CPU, not on GPU 0.' },
    ]);
    await expect(runner.start(wrong, context())).rejects.toBeInstanceOf(GpuNotUsableError);
  });

  it('an end is told with the cause that the backend reads from its log', async () => {
    const runner = runnerWith();
    const error: unknown = await runner
      .start(deployment('crash', [0]), context())
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ServerLostError);
    expect(String(error)).toMatch(
      /tiny did not start .*: tiny_crash_0 ended with exit code 3: ValueError: no such weights$/,
    );
    expect((error as ServerLostError).facts.log).toEqual([
      'Traceback (most recent call last):',
      'ValueError: no such weights',
    ]);
    expect((error as ServerLostError).retry).toBe('bounded');
  });

  it('an end that the backend finds final is', async () => {
    const start = runnerWith().start(deployment('unfit', [0]), context());
    await expect(start).rejects.toBeInstanceOf(ServerUnfitError);
    await expect(start).rejects.toMatchObject({
      code: 'SERVER_LOST',
      retry: 'never',
      message: expect.stringMatching(/exit code 2: ValueError: no such option$/) as string,
      facts: { log: ['ValueError: no such option'] },
    });
  });

  it('of two that come up, one that fails does not harm the other', async () => {
    const runner = runnerWith();
    // What GPU 1 asks for is taken: the name belongs to a server with other labels.
    await rig.launchers[0]?.launch(
      {
        ...{ name: 'tiny_quick_1', labels: { strange: 'yes' }, pull: 'never', env: {}, ports: [] },
        ...{ command: [process.execPath, '-e', 'setInterval(() => {}, 1000)'], bindAddress: '127.0.0.1' },
        ...{ mounts: [], gpus: { kind: 'none' }, ulimits: [], stopGraceSeconds: 1 },
      },
      never,
    );
    const [first, second] = await Promise.allSettled(
      [0, 1].map((gpuId) => runner.start(deployment('quick', [gpuId]), context())),
    );
    expect(first?.status).toBe('fulfilled');
    expect(String((second as PromiseRejectedResult).reason)).toContain('tiny_quick_1 is taken');
    const seen = await runner.getStatus(deployment('quick', [0, 1]), never);
    expect(seen.map(({ phase }) => phase)).toEqual(['ready', 'absent']);
  });

  it('with other options than it was started with, it is replaced', async () => {
    const runner = runnerWith();
    await runner.start(deployment('quick', [0]), context());
    const [before] = await runner.getStatus(deployment('quick', [0]), never);
    const changed = deployment('quick', [0], 2);
    expect(await runner.getStatus(changed, never)).toMatchObject([
      { phase: 'absent', reason: 'tiny_quick_0 runs with other options' },
    ]);
    await runner.start(changed, context());
    const [after] = await runner.getStatus(changed, never);
    expect(after?.phase).toBe('ready');
    expect(after?.pid).not.toBe(before?.pid);
  });

  it('a dead main process is absent while its children live, and they are gone before the next launch', async () => {
    const runner = runnerWith();
    const leaving = deployment('leaves-child', [0]);
    const stateDir = join(rig.directory, 'state');
    await runner.start(leaving, context());
    const [first] = await runner.getStatus(leaving, never);
    process.kill(first?.pid ?? 0, 'SIGKILL');
    await pollUntil(
      async () => ((await runner.getStatus(leaving, never))[0]?.phase === 'absent' ? true : undefined),
      { intervalMs: 20, signal: AbortSignal.timeout(5000) },
    );
    const orphans = await processesOf(stateDir);
    expect(orphans).toHaveLength(1);
    await runner.start(leaving, context());
    expect(await processesOf(stateDir)).not.toContain(orphans[0]);
    process.kill((await runner.getStatus(leaving, never))[0]?.pid ?? 0, 'SIGKILL');
    await runner.stop(deployment('leaves-child', []), [0], context());
    expect(await processesOf(stateDir)).toEqual([]);
  });

  it('is told before its polite stop, and not before a forced one', async () => {
    const runner = runnerWith();
    const journal = join(rig.directory, 'journal');
    runner.journal = journal;
    await runner.start(deployment('quick', [0, 1]), context());
    await runner.stop(deployment('quick', [1]), [0], context());
    expect((await readFile(journal, 'utf8')).match(/POST \/free/g)).toHaveLength(1);
    await runner.stopByForce(deployment('quick', []), [1], context());
    expect((await readFile(journal, 'utf8')).match(/POST \/free/g)).toHaveLength(1);
  });

  it('one that does not answer to that is stopped all the same, and forced if it ignores the signal', async () => {
    const runner = runnerWith({ stop_grace_seconds: 1 });
    for (const model of ['deaf-to-free', 'stubborn']) {
      await runner.start(deployment(model, [0]), context());
      const [{ pid } = { pid: null }] = await runner.getStatus(deployment(model, [0]), never);
      await runner.stop(deployment(model, []), [0], context());
      expect(() => process.kill(pid ?? 0, 0)).toThrow('ESRCH');
    }
  });

  it('tells the workload of all the GPUs that are asked about', async () => {
    const runner = runnerWith();
    expect(await runner.workload(deployment('quick', []), [0], never)).toBeNull();
    await runner.start(deployment('quick', [0, 1]), context());
    expect(await runner.workload(deployment('quick', []), [0, 1], never)).toEqual({ open: 6, finished: 0 });
    expect(await runner.workload(deployment('quick', [0]), [1], never)).toEqual({ open: 3, finished: 0 });
  });

  it('of an earlier configuration, under another name, is taken over as it is', async () => {
    const former = runnerWith({ container_name: 'former' });
    await former.start(deployment('quick', [0]), context());
    const [before] = await former.getStatus(deployment('quick', [0]), never);
    const runner = runnerWith({ ports: { from: rig.firstPort + 10, to: rig.firstPort + 20 } });
    const needed = [{ modelName: 'quick', gpuIds: [0] }];
    expect(await runner.findUnneeded(needed, never)).toEqual([]);
    await runner.start(deployment('quick', [0]), context());
    expect(await runner.getStatus(deployment('quick', [0]), never)).toEqual([before]);
    expect(runner.serverNameOf('quick', 0)).toBe('former_quick_0');
    const gpus = new Map([[0, [{ id: 0, uuid: 'GPU-0' }]]]);
    expect(await runner.adoptable(never)).toEqual({ deployments: [{ ...deployment('quick', [0]), gpus }] });
    await runner.stop(deployment('quick', []), [0], context());
    expect(await former.getStatus(deployment('quick', [0]), never)).toMatchObject([{ phase: 'absent' }]);
    await runner.start(deployment('quick', [0]), context());
    expect(await runner.getStatus(deployment('quick', [0]), never)).toMatchObject([
      { serverName: 'tiny_quick_0', port: rig.firstPort + 10 },
    ]);
  });

  it('of an earlier configuration, beside one under its name of now, nobody needs it', async () => {
    const former = runnerWith({ container_name: 'former' });
    await former.start(deployment('quick', [0]), context());
    await new TinyRunner(tinyConfig({ ports: rig.ports }), apart()).start(
      deployment('quick', [0]),
      context(),
    );
    const runner = runnerWith();
    const needed = [{ modelName: 'quick', gpuIds: [0] }];
    const [found] = await runner.findUnneeded(needed, never);
    expect(found).toMatchObject({ serverName: 'former_quick_0', models: ['quick'] });
    if (!found) throw new Error('not found');
    expect(await runner.removeUnneeded(found, () => needed, 'polite', never)).toBe(true);
    expect(await former.getStatus(deployment('quick', [0]), never)).toMatchObject([{ phase: 'absent' }]);
    expect(await runner.getStatus(deployment('quick', [0]), never)).toMatchObject([{ phase: 'ready' }]);
  });

  /** A host that does not tell of the servers there are already. */
  function apart(): RunnerHost {
    const host = rig.host();
    const launcher = host.launchers.get('process');
    launcher.list = () => Promise.resolve([]);
    return host;
  }

  it('that the configuration does not have any more is looked after, under its name of then', async () => {
    const former = runnerWith({ container_name: 'former' });
    await former.start(deployment('quick', [0]), context());
    const runner = runnerWith({ supported_models: [] });
    expect(await runner.getStatus(deployment('quick', [0]), never)).toMatchObject([
      { phase: 'ready', serverName: 'former_quick_0' },
    ]);
    expect(await runner.findUnneeded([{ modelName: 'quick', gpuIds: [0] }], never)).toEqual([]);
    await runner.stop(deployment('quick', []), [0], context());
    expect(await runner.getStatus(deployment('quick', [0]), never)).toMatchObject([{ phase: 'absent' }]);
    expect(await processesOf(rig.directory)).toEqual([]);
  });
});
