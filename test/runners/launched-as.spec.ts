import { describe, expect, it } from '@jest/globals';
import type { LaunchSpec } from '../../src/launchers/launcher.js';
import { labelledLaunch, outdatedAspects } from '../../src/runners/launch-aspects.js';
import { launchedAs, settingsLabel } from '../../src/runners/launched-as.js';
import { GpuVisibility } from '../../src/runners/triton/gpu-visibility.js';
import { visibleIn, type VisibleGpus, visibleLabel } from '../../src/runners/visible-gpus.js';

const SPEC: LaunchSpec = {
  name: 'server',
  labels: { own: 'label' },
  image: 'image:1',
  pull: 'never',
  command: ['serve', '--port', '8000'],
  env: { TOKEN: 'secret', PATH: '/bin' },
  ports: [{ name: 'http', port: 8000 }],
  bindAddress: '127.0.0.1',
  mounts: [{ hostPath: '/data', serverPath: '/models', readOnly: true }],
  gpus: { kind: 'devices', ids: ['GPU-0'] },
  shmSizeBytes: 1024,
  ulimits: [{ name: 'stack', soft: 1, hard: 1 }],
  stopGraceSeconds: 10,
};

function drift(
  change: Partial<LaunchSpec>,
  launcher: 'docker' | 'process' = 'docker',
  visible: VisibleGpus = ['GPU-0'],
): readonly string[] {
  const { labels } = labelledLaunch(SPEC, ['GPU-0'], launcher);
  return outdatedAspects(labels, labelledLaunch({ ...SPEC, ...change }, visible, launcher));
}

describe('in what a server is not what would be launched now', () => {
  it.each<[string, Partial<LaunchSpec>, string[]]>([
    ['nothing', {}, []],
    ['the order of its environment', { env: { PATH: '/bin', TOKEN: 'secret' } }, []],
    ['how long a stop waits', { stopGraceSeconds: 20, pull: 'if-missing' }, []],
    ['image', { image: 'image:2' }, ['image']],
    ['environment', { env: { ...SPEC.env, TOKEN: 'other' } }, ['env']],
    ['arguments', { command: [...SPEC.command, '--verbose'] }, ['args']],
    ['mounts', { mounts: [] }, ['args']],
    ['memory', { memoryBytes: 1 }, ['limits']],
    ['shared memory and ulimits', { shmSizeBytes: 2048, ulimits: [] }, ['limits']],
  ])('%s', (_name, change, expected) => {
    expect(drift(change)).toEqual(expected);
  });

  it('arguments: by what the configuration says of them, where a launch has more', () => {
    const configured = SPEC.command;
    const more = { ...SPEC, command: [...SPEC.command, '--where-it-has-it'] };
    const plain = labelledLaunch(SPEC, ['GPU-0'], 'process');
    const launched = labelledLaunch(more, ['GPU-0'], 'process', configured);
    expect(launched.command).toContain('--where-it-has-it');
    expect(outdatedAspects(launched.labels, plain)).toEqual([]);
    expect(outdatedAspects(plain.labels, launched)).toEqual([]);
    const other = labelledLaunch(more, ['GPU-0'], 'process', [...configured, '--verbose']);
    expect(outdatedAspects(launched.labels, other)).toEqual(['args']);
  });

  it('a process has no image, no mounts and no limits', () => {
    expect(drift({ image: 'image:2', mounts: [], shmSizeBytes: 1 }, 'process')).toEqual([]);
    expect(drift({ env: {}, command: ['other'] }, 'process')).toEqual(['env', 'args']);
  });

  it('GPUs: by what it sees', () => {
    expect(drift({ gpus: { kind: 'all' } }, 'docker', ['GPU-0', 'GPU-1'])).toEqual(['gpus']);
    expect(drift({ gpus: { kind: 'none' } }, 'docker', 'none')).toEqual(['gpus']);
    expect(drift({ gpus: { kind: 'all' } }, 'docker', ['GPU-0'])).toEqual([]);
  });

  it('nothing is known of one that an earlier version has launched', () => {
    expect(outdatedAspects({}, labelledLaunch({ ...SPEC, image: 'other' }, 'none', 'docker'))).toEqual([]);
  });

  it('labels tell no secret, and keep those of the server', () => {
    const { labels } = labelledLaunch(SPEC, 'none', 'docker');
    expect(labels).toMatchObject({ own: 'label' });
    expect(JSON.stringify(labels)).not.toMatch(/secret|TOKEN/);
  });
});

describe('what a server sees of the GPUs', () => {
  it.each<[VisibleGpus]>([['none'], [[]], [['GPU-1', '2']]])('is told by its labels: %p', (visible) => {
    expect(visibleIn(visibleLabel(visible))).toEqual(visible);
  });

  const gpus = ['GPU-0', 'GPU-2', 'GPU-3'].map((uuid, id) => ({ id, uuid }));
  const onGpu = (number: number, uuid: string | null, id = number) => ({
    modelName: 'MAM',
    gpuIds: [number],
    gpus: new Map([[number, [{ id, uuid }]]]),
    options: {},
  });
  const running = (visible: VisibleGpus | undefined) => ({ serverName: 'triton', visible });

  it('counts for a placement there by UUID, whatever the file and the indices say by now', () => {
    const file = new GpuVisibility('device=2');
    const sight = running(['GPU-0', 'GPU-1', 'GPU-2']);
    expect(file.places(onGpu(2, 'GPU-2', 1), gpus, sight)).toEqual([{ gpuId: 2, visibleIndex: 2 }]);
    expect(() => file.places(onGpu(3, 'GPU-3', 2), gpus, sight)).toThrow('triton was launched with');
    expect(file.places(onGpu(2, 'GPU-2', 1), gpus, running('none'))).toEqual([
      { gpuId: 2, visibleIndex: null },
    ]);
  });

  it('is by the file where a server does not run, or an earlier version has launched it', () => {
    const file = new GpuVisibility('device=1,2');
    for (const sight of [undefined, running(undefined)]) {
      expect(file.places(onGpu(3, 'GPU-3', 2), gpus, sight)).toEqual([{ gpuId: 3, visibleIndex: 1 }]);
      expect(() => file.places(onGpu(0, 'GPU-0'), gpus, sight)).toThrow('runners.triton.gpus: device=1,2');
    }
  });

  it('is by index where UUIDs are not known', () => {
    const sight = running(['1', '2']);
    expect(new GpuVisibility('all').places(onGpu(2, null), [], sight)).toEqual([
      { gpuId: 2, visibleIndex: 1 },
    ]);
  });
});

describe('the settings that a server was launched with', () => {
  const LABEL = 'model-inference-client.launched-as';
  const now = { bind_address: '127.0.0.1', device: 'gpu' };

  it('count, whatever the configuration says by now, also those that it has no more', () => {
    const labels = settingsLabel({ bind_address: '127.0.0.2', served_model_name: 'a="b"' });
    expect(launchedAs(labels, now)).toEqual({
      ...{ bind_address: '127.0.0.2', device: 'gpu' },
      served_model_name: 'a="b"',
    });
  });

  it.each([
    ['an earlier version has launched it', {}],
    ['they make no sense', { [LABEL]: '{"bind_address"' }],
    ['they are of another kind', { [LABEL]: '{"bind_address":8000,"device":null}' }],
    ['they are none', { [LABEL]: '["127.0.0.2"]' }],
  ])('are those of the configuration, where %s', (_name, labels) => {
    expect(launchedAs(labels, now)).toEqual(now);
  });
});
