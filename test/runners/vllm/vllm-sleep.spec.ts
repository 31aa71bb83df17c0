import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { RunnerRig } from '../../support/runner-rig.js';
import { standinRunner } from './rig.js';

/**
 * The sleep API of vLLM, where the first reload of the weights fails. `isSticky`: vLLM 0.32 says `discard_all` until it is
 * fully awake; before, any wake said `awake`.
 */
function sleeper(isSticky: boolean) {
  const state = { asleep: new Set<string>(), level: 0, hasWeights: true, reloads: 0 };
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    let body: unknown = {};
    let status = 200;
    if (url.pathname === '/is_sleeping') body = { is_sleeping: state.asleep.size > 0 };
    if (url.pathname === '/sleep') {
      state.level = Number(url.searchParams.get('level'));
      if (state.level === 2) state.hasWeights = false;
      state.asleep = new Set(['weights', 'kv_cache']);
    }
    if (url.pathname === '/wake_up') {
      const tags = url.searchParams.getAll('tags');
      for (const tag of tags.length > 0 ? tags : [...state.asleep]) state.asleep.delete(tag);
      if (!isSticky || state.asleep.size === 0) state.level = 0;
    }
    if (url.pathname === '/collective_rpc') {
      state.reloads += 1;
      if (state.reloads === 1) status = 500;
      else state.hasWeights = true;
    }
    if (url.pathname === '/metrics') {
      const of = (name: string, level: number) =>
        `vllm:engine_sleep_state{engine="0",model_name="m",sleep_state="${name}"} ${state.level === level ? 1 : 0}.0\n`;
      response.end(
        `vllm:num_requests_running{engine="0",model_name="m"} 0.0\n` +
          of('awake', 0) +
          of('weights_offloaded', 1) +
          of('discard_all', 2),
      );
      return;
    }
    response.statusCode = status;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(body));
  });
  return { server, state };
}

describe('a wake at level 2 that broke off', () => {
  let rig: RunnerRig;
  let stub: ReturnType<typeof sleeper>;

  beforeEach(async () => {
    rig = await RunnerRig.create();
  });
  afterEach(async () => {
    stub.server.close();
    await rig.dispose();
  });

  async function brokenOff(isSticky: boolean) {
    stub = sleeper(isSticky);
    await new Promise<void>((resolve) => stub.server.listen(0, '127.0.0.1', resolve));
    const { port } = stub.server.address() as AddressInfo;
    const runner = standinRunner(rig, { models: { m: { model: 'm', sleep_mode: true } }, device: 'gpu' });
    const settings = { bind_address: '127.0.0.1', device: 'gpu' } as const;
    const placement = { modelName: 'm', baseUrl: `http://127.0.0.1:${port}`, settings } as Parameters<
      typeof runner.sleepServer
    >[0];
    const context = { signal: new AbortController().signal, onProgress: () => undefined };
    await runner.sleepServer(placement, 2, context);
    await expect(runner.wakeServer(placement, context)).rejects.toThrow('500');
    return { runner, placement, context };
  }

  it.each([true, false])(
    'is completed with its weights; the level stays until it is awake: %s',
    async (isSticky) => {
      const { runner, placement, context } = await brokenOff(isSticky);
      await runner.wakeServer(placement, context);
      expect([stub.state.hasWeights, stub.state.asleep.size]).toEqual([true, 0]);
    },
  );

  it('does not count as asleep: a sleep gives the memory back', async () => {
    const { runner, placement, context } = await brokenOff(true);
    expect([...stub.state.asleep]).toEqual(['kv_cache']);
    await runner.sleepServer(placement, 2, context);
    expect([...stub.state.asleep]).toEqual(['weights', 'kv_cache']);
  });
});
