import { afterEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../support/ports.js';
import { TestService } from '../support/service.js';

let service: TestService | undefined;
const directories: string[] = [];

afterEach(async () => {
  await service?.dispose();
  service = undefined;
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
});

/** Runs the service until it ends by itself; one that stays until `enough` is killed, and its code is null. */
async function run(
  env: Record<string, string>,
  enough = AbortSignal.timeout(8000),
): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, ['dist/server.js'], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  enough.addEventListener('abort', () => child.kill('SIGKILL'));
  await once(child, 'close');
  return { code: child.exitCode, stderr };
}

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'mic-lock-'));
  directories.push(directory);
  return directory;
}

/** Exit 1, and one sentence in one line: no stack. */
function expectRefusal(end: { code: number | null; stderr: string }, sentence: RegExp): void {
  expect(end.stderr).toMatch(sentence);
  expect(end.stderr.trim().split('\n')).toHaveLength(1);
  expect(end.code).toBe(1);
}

describe('a second service on a state directory', () => {
  it('refuses to start, says who has it, and changes nothing', async () => {
    service = await TestService.create();
    await service.boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const pids = await service.serverPids();
    const [other = 0] = await freePorts(1);
    const end = await run({ MIC_CONFIG: service.configFile, MIC_PORT: String(other) });
    expectRefusal(
      end,
      new RegExp(
        `in use by process ${service.pid} since \\d{4}-.*Z \\(${service.instanceName}, 127.0.0.1:${service.port}\\)`,
      ),
    );
    expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
    expect(await service.serverPids()).toEqual(pids);
  });

  it('is not kept out by a dead one, though its servers live on and its pid is somebody else’s', async () => {
    service = await TestService.create();
    await service.boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const file = join(service.stateDir, 'service.lock');
    const dead = JSON.parse(await readFile(file, 'utf8')) as { pid: number };
    await service.end('SIGKILL');
    await writeFile(file, JSON.stringify({ ...dead, pid: process.pid }));
    await service.boot();
    await service.untilRunning('MAM@0');
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ pid: service.pid });
  });

  it('that starts at the same moment: exactly one of them serves', async () => {
    service = await TestService.create();
    const config = service.configFile;
    const ports = await freePorts(3);
    const twoHaveEnded = new AbortController();
    const limit = setTimeout(() => {
      twoHaveEnded.abort();
    }, 30_000);
    let ended = 0;
    const ends = await Promise.all(
      ports.map(async (port) => {
        const end = await run({ MIC_CONFIG: config, MIC_PORT: String(port) }, twoHaveEnded.signal);
        ended += 1;
        if (ended === 2) twoHaveEnded.abort();
        return end;
      }),
    );
    clearTimeout(limit);
    expect(ends.map(({ code }) => code).sort()).toEqual([1, 1, null]);
    for (const end of ends.filter(({ code }) => code === 1)) expectRefusal(end, /is in use by /);
  }, 45_000);
});

describe('a boot that cannot be', () => {
  it('names the process that has the port, and launches nothing', async () => {
    service = await TestService.create();
    const squatter = createServer();
    squatter.listen(service.port, '127.0.0.1');
    await once(squatter, 'listening');
    const end = await run({ MIC_CONFIG: service.configFile });
    const byVariable = await run({ MIC_CONFIG: service.configFile, MIC_PORT: String(service.port) });
    squatter.close();
    expectRefusal(end, new RegExp(`^Port ${service.port} already in use by process ${process.pid} `));
    expect(end.stderr).toContain('configure another port: server.port (`ss');
    expectRefusal(byVariable, /^Port .* configure another port: server\.port, set by MIC_PORT \(`ss/);
  });

  it.each([
    ['192.0.2.1', /^192\.0\.2\.1 is no address of this host: correct server\.host, set by MIC_HOST\.$/m],
    [
      'no-such-host.invalid',
      /^no-such-host\.invalid leads to no address: correct server\.host, set by MIC_HOST/,
    ],
  ])('says that it cannot listen on %s, and launches nothing', async (host, words) => {
    service = await TestService.create({ config: { server: { trusted_network: true } } });
    expectRefusal(await run({ MIC_CONFIG: service.configFile, MIC_HOST: host }), words);
  });

  it.each(['/proc/nowhere/state', '/dev/null', '/dev/null/state', '/proc'])(
    'says that %s is no state directory',
    async (dir) => {
      service = await TestService.create();
      const end = await run({ MIC_CONFIG: service.configFile, MIC_STATE_DIR: dir });
      expectRefusal(end, new RegExp(`^Cannot use the state directory ${dir}: `));
    },
  );

  it('says that the log file cannot be opened', async () => {
    service = await TestService.create();
    const directory = await temporary();
    const end = await run({ MIC_CONFIG: service.configFile, MIC_LOG_FILE: directory });
    expectRefusal(end, /^Cannot open the log file /);
  });
});
