import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { ModelDirectory } from './model-directory.js';

const MAIN = join(import.meta.dirname, '../../dist/standin/tritonserver.js');

describe('the stand-in as a process', () => {
  let models: ModelDirectory;
  const children: ChildProcess[] = [];

  beforeAll(() => {
    if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: run "npm run build" first`);
  });

  beforeEach(async () => {
    models = await ModelDirectory.create();
  });

  afterEach(async () => {
    for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
    await models.remove();
  });

  const run = (flags: string[], env: NodeJS.ProcessEnv = {}): ChildProcess & { stdout: Readable } => {
    const child = spawn(process.execPath, [MAIN, ...flags], {
      env: { ...process.env, NODE_OPTIONS: '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    return child;
  };
  const flags = (...more: string[]): string[] => [
    ...[`--model-repository=${models.path}`, '--model-control-mode=explicit', '--exit-timeout-secs=5'],
    ...['--http-address=127.0.0.1', '--grpc-address=127.0.0.1', '--metrics-address=127.0.0.1'],
    ...['--http-port=0', '--grpc-port=0', '--metrics-port=0', ...more],
  ];
  /** Lines up to the one that says that all ports are open, and the HTTP port. */
  const started = async (child: {
    stdout: NodeJS.ReadableStream;
  }): Promise<{ lines: string[]; port: string }> => {
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line);
      if (line.includes('Started Metrics Service')) break;
    }
    child.stdout.resume();
    const port = /Started HTTPService at 127\.0\.0\.1:(\d+)/.exec(lines.join('\n'))?.[1] ?? '';
    return { lines, port };
  };

  it('says what it is, serves, and ends with 0 on SIGTERM', async () => {
    await models.write('MAM');
    const child = run(flags('--log-verbose=1'), { TRITON_STANDIN_GPUS: '2' });
    const exit = once(child, 'exit');
    const { lines, port } = await started(child);
    expect(lines[0]).toMatch(
      /^I\d{4} \d\d:\d\d:\d\d\.\d{6} \d+ standin\.ts:1\] "This is NOT NVIDIA Triton: /,
    );
    expect(lines.join('\n')).toContain('It plays a host with 2 GPUs');
    expect(lines.join('\n')).toContain('without effect in the stand-in: --log-verbose');

    const headers = { connection: 'close' };
    const load = `http://127.0.0.1:${port}/v2/repository/models/MAM/load`;
    expect((await fetch(load, { method: 'POST', headers })).status).toBe(200);
    child.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
  });

  it.each([
    ['an unknown flag', ['--nonsense'], {}, "tritonserver: unrecognized option '--nonsense'"],
    ['no model repository', ['--model-control-mode=explicit'], {}, '--model-repository must be specified'],
    [
      'a repository that is not there',
      ['--model-control-mode=explicit', '--model-repository=/nope/x'],
      {},
      'failed to stat file /nope/x',
    ],
    [
      'a bad environment',
      ['--model-control-mode=explicit'],
      { TRITON_STANDIN_GPUS: 'x' },
      'TRITON_STANDIN_GPUS',
    ],
  ])('ends with 1 for %s', async (_, args, env, message) => {
    const child = run(args, env);
    let errors = '';
    child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(errors).toContain(message);
  });

  it('goes on when nobody reads its log any more', async () => {
    await models.write('MAM');
    const child = run(flags());
    const { port } = await started(child);
    child.stdout.destroy();
    const load = `http://127.0.0.1:${port}/v2/repository/models/MAM/load`;
    for (let times = 0; times < 2; times += 1) {
      expect((await fetch(load, { method: 'POST', headers: { connection: 'close' } })).status).toBe(200);
    }
  });

  it('ends with the code a model asks for', async () => {
    await models.write('Crash', { load_seconds: 0, crash_on_load: 42 });
    const child = run(flags('--load-model=Crash'));
    child.stdout.resume();
    expect(await once(child, 'exit')).toEqual([42, null]);
  });

  it('goes on after SIGTERM while a model says so', async () => {
    await models.write('MAM', { load_seconds: 0, exit_ignore_sigterm: true });
    const child = run(flags('--load-model=MAM'));
    const lines = createInterface({ input: child.stdout });
    for await (const line of lines) {
      if (line.includes('Started Metrics Service')) child.kill('SIGTERM');
      if (line.includes('exit_ignore_sigterm')) break;
    }
    expect(child.exitCode).toBeNull();
  });
});
