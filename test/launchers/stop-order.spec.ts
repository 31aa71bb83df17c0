import { join } from 'node:path';
import type { LaunchSpec } from '../../src/launchers/launcher.js';
import { freePorts } from '../support/ports.js';
import { never, onLinux, pidAlive, ProcessRig } from '../support/process-rig.js';

const SERVER = join(process.cwd(), 'test/fakes/workers-server.mjs');
const WORKERS = 2;
/** What a stop may take over its grace on a busy machine. */
const SLACK_MS = 2500;

type Main = 'dies' | 'waits' | 'deaf';
type Worker = 'die' | 'linger' | 'finish';

let rig: ProcessRig;
let port: number;

beforeEach(async () => {
  rig = await ProcessRig.create();
  [port = 0] = await freePorts(1);
});

afterEach(() => rig.dispose());

function server(main: Main, workers: Worker): string[] {
  return [process.execPath, SERVER, String(port), main, workers];
}

/** Status of a request that takes `ms`; 0 where it was lost. */
function work(ms: number): Promise<number> {
  return fetch(`http://127.0.0.1:${port}/work?ms=${ms}`, { headers: { Connection: 'close' } }).then(
    ({ status }) => status,
    () => 0,
  );
}

interface Stopped {
  readonly answers: readonly number[];
  readonly tookMs: number;
}

/** Launches it, and stops it under four requests of `ms` each. Nothing of it is left afterwards. */
async function stopUnder(
  command: readonly string[],
  {
    ms,
    graceSeconds,
    stopSignal,
  }: { ms?: number; graceSeconds: number; stopSignal?: LaunchSpec['stopSignal'] },
): Promise<Stopped> {
  const { launcher } = rig;
  const spec = rig.specOf(command, { ...(stopSignal && { stopSignal }) });
  const { pid } = await launcher.launch(spec, never);
  const workers = await rig.pidsOf(spec.name, WORKERS);
  const requests = ms === undefined ? [] : [1, 2, 3, 4].map(() => work(ms));
  if (ms !== undefined) await new Promise((resolve) => setTimeout(resolve, 300)); // they have arrived
  const begin = performance.now();
  await launcher.stop(spec.name, graceSeconds, never);
  const tookMs = performance.now() - begin;
  for (const each of [pid ?? 0, ...workers]) expect(await pidAlive(each)).toBe(false);
  expect(await launcher.inspect(spec.name, never)).toBeUndefined();
  return { answers: await Promise.all(requests), tookMs };
}

const ANSWERED = [200, 200, 200, 200];

describe('the polite stop of a server of several processes', () => {
  onLinux.each<[string, Main, Worker, number]>([
    ['whose main process has its workers finish', 'waits', 'die', 1300],
    ['whose main process ends at once, and whose workers die of the signal', 'dies', 'die', 1300],
    ['whose main process ends at once, and whose workers are slow to end', 'dies', 'linger', 5000],
  ])('loses no request of one %s', async (_, main, workers, expectedMs) => {
    const { answers, tookMs } = await stopUnder(server(main, workers), { ms: 1500, graceSeconds: 5 });
    expect(answers).toEqual(ANSWERED);
    expect(tookMs).toBeGreaterThan(1000);
    expect(tookMs).toBeLessThan(expectedMs + SLACK_MS);
  });

  onLinux('is over at once where nobody waits for an answer', async () => {
    const { tookMs } = await stopUnder(server('dies', 'die'), { graceSeconds: 20 });
    expect(tookMs).toBeLessThan(SLACK_MS);
  });

  onLinux.each<[string, Main, Worker]>([
    ['a main process that heeds no signal', 'deaf', 'die'],
    ['workers that lose their requests by a signal, and end 30 s later', 'dies', 'linger'],
    ['workers with longer requests', 'waits', 'die'],
  ])('is over with its grace: %s', async (_, main, workers) => {
    const { answers, tookMs } = await stopUnder(server(main, workers), { ms: 20_000, graceSeconds: 1 });
    expect(answers).toEqual([0, 0, 0, 0]);
    expect(tookMs).toBeLessThan(1000 + SLACK_MS);
  });
});

describe('the polite stop of a server that a shell runs', () => {
  onLinux.each<[string, (command: string) => string[], LaunchSpec['stopSignal']]>([
    ['the shell dies of SIGTERM', (command) => ['sh', '-c', `${command}; true`], 'SIGTERM'],
    [
      'the shell heeds SIGTERM once its command has ended',
      (command) => ['bash', '-c', `trap true TERM; ${command}; true`],
      'SIGTERM',
    ],
    ['the shell waits for its command at SIGINT', (command) => ['bash', '-c', `${command}; true`], 'SIGINT'],
    ['it is a shell in a shell', (command) => ['bash', '-c', `sh -c '${command}; true'; true`], 'SIGTERM'],
  ])('asks the server at once, and not its workers: %s', async (_, inShell, stopSignal) => {
    const command = inShell(server('waits', 'die').join(' '));
    const { answers, tookMs } = await stopUnder(command, { ms: 1500, graceSeconds: 20, stopSignal });
    expect(answers).toEqual(ANSWERED);
    expect(tookMs).toBeLessThan(1300 + SLACK_MS);
  });
});
