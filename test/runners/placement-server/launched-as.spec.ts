import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Deployment } from '../../../src/runners/deployment.js';
import type { RunnerContext } from '../../../src/runners/runner-context.js';
import type { RunnerHost } from '../../../src/runners/runner-host.js';
import type { PlacementServerConfig } from '../../../src/runners/placement-server/placement-server-section.js';
import { TinyRunner, tinyConfig } from '../../fakes/tiny-runner.js';
import { RunnerRig } from '../../support/runner-rig.js';

const never = new AbortController().signal;
const QUICK: Deployment = { modelName: 'quick', gpuIds: [0], options: { size: 1 } };
const LABEL = 'model-inference-client.launched-as';

function context(): RunnerContext {
  const gpus = [{ id: 0, uuid: 'GPU-0' }];
  return { signal: never, gpus, wanted: () => [], onProgress: () => undefined };
}

describe('a server whose section has changed since its launch', () => {
  let rig: RunnerRig;

  beforeEach(async () => {
    rig = await RunnerRig.create();
  });

  afterEach(() => rig.dispose());

  function runnerWith(changes: Partial<PlacementServerConfig>, host = rig.host()): TinyRunner {
    return new TinyRunner(tinyConfig({ ports: rig.ports, ...changes }), host);
  }

  /** As an earlier version has launched: without the label. */
  function early(): RunnerHost {
    const host = rig.host();
    const launcher = host.launchers.get('process');
    const launch = launcher.launch.bind(launcher);
    launcher.launch = (spec, signal, onProgress) => {
      const labels = Object.entries(spec.labels).filter(([name]) => name !== LABEL);
      return launch({ ...spec, labels: Object.fromEntries(labels) }, signal, onProgress);
    };
    return host;
  }

  it.each([
    ['127.0.0.1', '127.0.0.2'],
    ['127.0.0.2', '127.0.0.1'],
  ])('is asked at %s, where it listens, and not at %s', async (address, later) => {
    await runnerWith({ bind_address: address }).start(QUICK, context());
    const runner = runnerWith({ bind_address: later });
    expect(await runner.getStatus(QUICK, never)).toMatchObject([{ phase: 'ready', outdated: ['args'] }]);
    expect(await runner.workload(QUICK, [0], never)).toEqual({ open: 3, finished: 0 });
    await runner.stop(QUICK, [0], { ...context(), patienceMs: 0 });
    await runner.start(QUICK, context());
    const [now] = await runner.getStatus(QUICK, never);
    expect([now?.phase, now?.outdated]).toEqual(['ready', undefined]);
  });

  it('is asked as the configuration has it, where an earlier version has launched it', async () => {
    await runnerWith({ bind_address: '127.0.0.2' }, early()).start(QUICK, context());
    const [launched] = (await rig.launchers[0]?.list({}, never)) ?? [];
    expect(launched?.labels).not.toHaveProperty([LABEL]);
    const runner = runnerWith({ bind_address: '127.0.0.2' });
    expect(await runner.getStatus(QUICK, never)).toMatchObject([{ phase: 'ready' }]);
  });

  it('and that was launched without a GPU, is not said to have lost one', async () => {
    await runnerWith({ device: 'cpu' }).start(QUICK, context());
    const host = rig.host();
    host.launchers.get('process').gpuSight = () => Promise.resolve({ lost: 'no NVML' });
    const runner = runnerWith({ device: 'gpu' }, host);
    await runner.getStatus(QUICK, never);
    expect(await runner.gpuSight(QUICK, 0, never)).toBe('unknown');
  });
});
