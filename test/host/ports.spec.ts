import { createServer } from 'node:net';
import { once } from 'node:events';
import { isForeign, isPortTaken } from '../../src/host/ports.js';
import { httpSection } from '../../src/runners/http/http-section.js';

describe('an address to listen on', () => {
  it.each(['192.0.2.7', 'not an ip', 'nosuchhost.invalid'])('%s is not of this host', async (address) => {
    expect(await isForeign(address)).toBe(true);
  });

  it.each(['127.0.0.1', '0.0.0.0', 'localhost'])(
    '%s is, also where a port of it is taken',
    async (address) => {
      const holder = createServer().listen(0, address);
      await once(holder, 'listening');
      const bound = holder.address();
      const port = typeof bound === 'object' && bound ? bound.port : 0;
      expect(await isForeign(address)).toBe(false);
      expect(await isPortTaken(address, port)).toBe(true);
      await new Promise((resolve) => holder.close(resolve));
    },
  );

  it.each([
    ['127.0.0.1', true],
    ['::1', true],
    ['::', true],
    ['localhost', true],
    ['gpu-1.example.net', true],
    ['not an ip', false],
    ['256.1.1.1', false],
    ['10.0.0', false],
    ['', false],
    ['127.0.0.1:80', false],
    ['http://127.0.0.1', false],
  ])('%j in the configuration: %s', (address, isTaken) => {
    const section = { enabled: true, launcher: 'process', container_name: 'http_server', models: {} };
    const rest = { ports: { from: 20_000, to: 20_010 }, start_timeout_seconds: 1, stop_grace_seconds: 1 };
    const { success } = httpSection.safeParse({ ...section, ...rest, bind_address: address });
    expect(success).toBe(isTaken);
  });
});
