import { afterEach, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../support/ports.js';
import { TestService } from '../support/service.js';

const BOUND = 2 * 1024 * 1024;
const canMount = spawnSync('unshare', ['-m', 'true']).status === 0;
const onMounts = canMount ? it : it.skip;

let service: TestService;
const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each();
  await service.dispose();
});

async function bootHttp(script: string): Promise<void> {
  const [from = 0] = await freePorts(1);
  const model = { command: [process.execPath], args: ['-e', script], health_path: '/health' };
  service = await TestService.create({
    runners: { http: { launcher: 'process', ports: { from, to: from + 20 }, models: { m: model } } },
    config: {
      restart: { initial_delay_ms: 50, max_delay_ms: 100, max_attempts: 0 },
      launchers: { process: { log_max_bytes: BOUND } },
    },
  });
  await service.boot();
}

/** All that is in the logs of the state, bytes. */
async function bytesOfLogs(): Promise<number> {
  const logs = join(service.stateDir, 'logs');
  const sizes = await Promise.all(
    (await readdir(logs).catch(() => [])).map((name) =>
      stat(join(logs, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function mostBytesFor(ms: number): Promise<number> {
  const end = performance.now() + ms;
  let most = 0;
  while (performance.now() < end) {
    most = Math.max(most, await bytesOfLogs());
    await sleep(10);
  }
  return most;
}

/** Writes some 5 MB a second. */
const FLOOD =
  "const line = 'x'.repeat(1023) + '\\n'; setInterval(() => process.stdout.write(line.repeat(200)), 40);";

describe('F42: the log of a server', () => {
  it('grows while it runs: it stays within its bound, over a restart of the service, too', async () => {
    await bootHttp(FLOOD);
    expect((await service.start('m', 0)).status).toBe(202);
    await service.until(async () => (await bytesOfLogs()) > BOUND / 4);
    expect(await mostBytesFor(3000)).toBeLessThan(2 * BOUND);
    await service.end('SIGKILL');
    await sleep(500);
    await service.boot();
    await sleep(500);
    const most = await mostBytesFor(2000);
    expect(most).toBeLessThan(2 * BOUND);
    expect(most).toBeGreaterThan(BOUND / 4); // it writes on
  });

  it('was emptied just before its end: its last lines are there', async () => {
    const words = "for (let n = 0; n < 200; n += 1) console.log('line ' + n);";
    // Within half of the bound, the last of it is written when the log was just emptied.
    await bootHttp(
      `process.stdout.write('y'.repeat(${BOUND / 2}) + '\\n'); ${words} setTimeout(() => { console.log('the very last'); process.exit(3); }, 1500);`,
    );
    await service.start('m', 0);
    const { code, log } = await service.untilError('m');
    expect(code).toBe('SERVER_LOST');
    expect(log?.at(-1)).toBe('the very last');
    expect(log?.slice(-5, -1)).toEqual(['line 196', 'line 197', 'line 198', 'line 199']);
  });
});

describe('F42: the disk of the state is full', () => {
  const FILL = 'dd if=/dev/zero of=filler bs=4k 2>/dev/null';

  /** The service has a small disk of its own for its state. @param first is done there before it boots */
  async function bootOnSmallDisk(first = 'true'): Promise<void> {
    service = await TestService.create({
      models: { MAM: { load_seconds: 0.1 } },
      config: { restart: { initial_delay_ms: 50, max_delay_ms: 200, max_attempts: 3 } },
    });
    const { stateDir } = service;
    await service.boot([
      ...['unshare', '-m', 'sh', '-c'],
      `mkdir -p ${stateDir} && mount -t tmpfs -o size=256k none ${stateDir} && { (cd ${stateDir}; ${first}); exec "$@"; }`,
      'sh',
    ]);
  }

  function inside(name: string): string {
    return join(`/proc/${service.pid}/root`, service.stateDir, name);
  }

  async function fillUp(): Promise<void> {
    for (const name of ['filler', 'filler-2']) {
      await writeFile(inside(name), Buffer.alloc(1_000_000)).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'ENOSPC' });
      });
      await sleep(200);
    }
  }

  async function pidOf(): Promise<number> {
    const { body } = await service.get<{ pid: number }[]>('/api/v1/models/status/MAM');
    return body[0]?.pid ?? 0;
  }

  onMounts('when a server crashes: it is STARTING until there is room, and then serves', async () => {
    await bootOnSmallDisk();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const pid = await pidOf();
    await fillUp();
    process.kill(-pid, 'SIGKILL');
    await service.until(async () => (await service.placements())[0] === 'MAM@0:STARTING');
    const calm = performance.now() + 3000;
    await service.until(async () => {
      expect(await service.placements()).toEqual(['MAM@0:STARTING']);
      return performance.now() > calm;
    });
    await service.until(async () => {
      const { body } = await service.get<{ progress?: string }[]>('/api/v1/models/status/MAM');
      return /trying again after: .*no space left/.test(body[0]?.progress ?? '');
    });
    for (const name of ['filler', 'filler-2']) await rm(inside(name));
    await service.untilRunning('MAM@0');
    const again = await pidOf();
    undo.push(() => void process.kill(-again, 'SIGKILL'));
  });

  onMounts(
    'when the service boots: it is ready, says so, and refuses starts until there is room',
    async () => {
      await bootOnSmallDisk(FILL);
      expect((await service.get('/health/ready')).status).toBe(200);
      expect(service.log).toContain('The disk of the state is full');
      expect(await service.start('MAM', 0)).toMatchObject({
        status: 500,
        body: { code: 'STATE_WRITE_FAILED' },
      });
      await rm(inside('filler'));
      await service.until(async () => (await service.start('MAM', 0)).status === 202);
      await service.untilRunning('MAM@0');
      const pid = await pidOf();
      undo.push(() => void process.kill(-pid, 'SIGKILL'));
    },
  );
});

describe('F42: where the log of the service goes', () => {
  it.each([
    ['is full', 'exec "$0" "$@" >/dev/full'],
    ['has no reader any more', 'exec "$0" "$@" > >(head -c 10 >/dev/null)'],
  ])('%s: it works on, and ends in order', async (_what, command) => {
    service = await TestService.create({ process: true, models: { MAM: { load_seconds: 0.1 } } });
    await service.boot(['bash', '-c', command]);
    expect((await service.start('MAM', 0)).status).toBe(202);
    await service.untilRunning('MAM@0');
    for (let requests = 0; requests < 20; requests += 1) await service.call('POST', '/nothing', {});
    expect((await service.stop('MAM', 0)).status).toBe(200);
    expect(await service.end('SIGTERM')).toBe(0);
  });
});

describe('F42: SIGHUP', () => {
  it('changes nothing, and the log says so', async () => {
    service = await TestService.create({ process: true, models: { MAM: { load_seconds: 0.1 } } });
    await service.boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    process.kill(service.pid, 'SIGHUP');
    await service.until(() => Promise.resolve(service.log.includes('SIGHUP changes nothing')));
    expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
    expect(await service.end('SIGTERM')).toBe(0);
  });
});
