import { once } from 'node:events';
import { connect } from 'node:net';
import { INPUT, ServerRig } from './server-rig.js';

describe('a stand-in that starts and ends', () => {
  let rig: ServerRig;

  beforeEach(async () => {
    rig = await ServerRig.create();
  });

  afterEach(() => rig.dispose());

  it.each(['http', 'grpc', 'metrics'] as const)(
    'does not start where its %s port is taken',
    async (service) => {
      const others = ['http', 'grpc', 'metrics'].map(
        (name) => `--${name}-port=${name === service ? (rig.ports[service] ?? 0) : 0}`,
      );
      const second = rig.another(...others);
      await expect(second.start()).rejects.toThrow(
        `Unavailable - Socket '127.0.0.1:${rig.ports[service] ?? 0}' already in use`,
      );
      await second.stop();
    },
  );

  it('loads at start what the command line names, and does not start where that fails', async () => {
    await rig.models.write('Broken', { load_seconds: 0, fail_load: 'no' });
    const flags = ['--http-port=0', '--grpc-port=0', '--metrics-port=0', '--load-model=*'];
    const failing = rig.another(...flags);
    await expect(failing.start()).rejects.toThrow("Invalid argument - load failed for model 'Broken'");
    const lenient = rig.another(...flags, '--exit-on-error=false');
    await lenient.start();
    expect(lenient.lifecycle.isReady('MAM')).toBe(true);
    expect(await lenient.stop()).toBe(0);
  });

  it('answers what is in flight before it ends, and ends with 0', async () => {
    await rig.models.write('MAM', { load_seconds: 0, unload_seconds: 0, infer_ms: 1000 });
    await rig.load('MAM');
    const answer = rig.call('POST', '/v2/models/MAM/infer', { inputs: [INPUT] });
    while (rig.server.lifecycle.inFlight === 0) await rig.index();
    const stopped = rig.server.stop();
    expect((await answer)[0]).toBe(200);
    expect(await stopped).toBe(0);
    await expect(rig.index()).rejects.toThrow('ECONNREFUSED');
  });

  it('ends with 1 at its exit timeout where a model does not go', async () => {
    await rig.models.write('MAM', { load_seconds: 0, hang_unload: true });
    const impatient = rig.another(
      '--exit-timeout-secs=0',
      '--http-port=0',
      '--allow-grpc=0',
      '--allow-metrics=0',
    );
    await impatient.start();
    await impatient.lifecycle.load('MAM');
    expect(await impatient.stop()).toBe(1);
  });

  it('waits for a quiet connection until its exit timeout, as Triton does', async () => {
    const socket = connect(rig.ports.http ?? 0, '127.0.0.1');
    await once(socket, 'connect');
    let stopped = false;
    const stop = rig.server.stop().then((code) => {
      stopped = true;
      return code;
    });
    socket.write('GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(String((await once(socket, 'data'))[0])).toContain('200 OK');
    expect(stopped).toBe(false);
    socket.destroy();
    expect(await stop).toBe(0);
  });
});
