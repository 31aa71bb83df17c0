import { inspect } from 'node:util';
import { Engine } from '../../src/launchers/docker/engine.js';

describe('Engine', () => {
  it('keeps docker-modem from making a text of all its connections before each request', async () => {
    const engine = new Engine({ socketPath: '/nowhere/docker.sock', requestTimeoutMs: 1000 });
    const { signal } = new AbortController();
    const agent = await engine.call(signal, (docker) =>
      Promise.resolve((docker.modem as { agent?: unknown }).agent),
    );
    expect(agent).toHaveProperty('sockets');
    // As docker-modem does it, which has no limit of depth.
    expect(inspect(agent, { showHidden: true, depth: 1 })).toBe('Agent');
  });
});
