import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Examiner } from '../../src/common/examiner.js';
import { HostView } from '../../src/launchers/docker/host-view.js';
import { HostPathMissingError } from '../../src/launchers/host-paths.js';
import { EngineTooOldError, EngineUnavailableError } from '../../src/launchers/launcher.js';
import { json } from '../fakes/launcher-engine.js';
import { engine, launcher, never, rejection, spec, useFakeEngine } from './docker-launcher-rig.js';

/** The Engine has the image, and says this of itself. */
function engineSays(words: { info?: unknown; version?: unknown }): void {
  engine.override = (request, response) => {
    const url = request.url ?? '';
    if (url.startsWith('/images/')) json(response, 200, {});
    else if (url === '/info' && words.info !== undefined) json(response, 200, words.info);
    else if (url === '/version' && words.version !== undefined) json(response, 200, words.version);
    else return false;
    return true;
  };
}

/** Subjects of the checks, each with what it found. */
async function examined(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const examine: Examiner = async (subject, check) => {
    found[subject] = await check().then(() => 'ok', String);
    return found[subject] === 'ok';
  };
  await launcher.check(spec, never, examine);
  return found;
}

describe('what the docker launcher sees of the host', () => {
  useFakeEngine();
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mic-paths-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('a path that is not there is refused; what is behind a link that leads nowhere here, is not', async () => {
    engineSays({});
    await symlink('/only/in/the/container', join(directory, 'link'));
    const hostPaths = [
      { path: directory, setting: 'a' },
      { path: join(directory, 'link'), setting: 'b' },
      { path: join(directory, 'link/model'), setting: 'c' },
    ];
    await launcher.check({ ...spec, hostPaths }, never);
    const missing = { path: join(directory, 'no/model'), setting: 'd' };
    const error = await rejection(launcher.check({ ...spec, hostPaths: [...hostPaths, missing] }, never));
    expect(error).toBeInstanceOf(HostPathMissingError);
    expect(error.message).toContain('correct d.');
  });

  it.each(['there', 'away'])('every path that is not there is told, the Engine being %s', async (where) => {
    engineSays({});
    if (where === 'away') await engine.stop();
    const hostPaths = ['a', 'b', 'c'].map((name) => ({ path: join(directory, name), setting: name }));
    await mkdir(join(directory, 'b'));
    const told: string[] = [];
    const examine: Examiner = async (subject, check) => {
      try {
        await check();
        return true;
      } catch (error) {
        if (subject === 'paths') told.push(String(error));
        return false;
      }
    };
    await launcher.check({ ...spec, hostPaths }, never, examine);
    expect(told).toEqual([expect.stringContaining('correct a.'), expect.stringContaining('correct c.')]);
    const error = await rejection(launcher.check({ ...spec, hostPaths }, never));
    expect(error).toBeInstanceOf(where === 'away' ? EngineUnavailableError : HostPathMissingError);
  });

  it('in a container of its own, it sees nothing of the host: where its socket was mounted', async () => {
    const containers = { findById: () => Promise.resolve(undefined) };
    const isShared = (path: string): Promise<boolean> =>
      new HostView(containers as never, path).isShared(never);
    expect(await isShared(engine.socketPath)).toBe(true);
    // Any mount point will do.
    expect(await isShared('/proc')).toBe(false);
  });

  it.each([
    ['a runtime', { Runtimes: { runc: {}, nvidia: {} } }, 'ok'],
    ['a device', { Runtimes: { runc: {} }, DiscoveredDevices: [{ ID: 'nvidia.com/gpu=0' }] }, 'ok'],
    ['no word of it', undefined, 'ok'],
  ])('the NVIDIA Container Toolkit shows by %s', async (_sign, info, expected) => {
    engineSays({ info });
    expect(await examined()).toEqual({
      name: 'ok',
      image: 'ok',
      paths: 'ok',
      toolkit: expected,
      ports: 'ok',
    });
  });

  it('and its want is a hint, which refuses no start', async () => {
    engineSays({ info: { Runtimes: { runc: {} } } });
    const { toolkit } = await examined();
    // The hook may be on this machine.
    expect(toolkit).toMatch(/^(ok$|LaunchFailedError: Docker shows no sign of the NVIDIA Container Toolkit)/);
    await expect(launcher.check(spec, never)).resolves.toBeUndefined();
  });

  it.each([
    ['1.39', EngineTooOldError],
    ['1.40', undefined],
    ['2.0', undefined],
  ])('an Engine of API %s', async (ApiVersion, expected) => {
    engineSays({ version: { ApiVersion } });
    const error: unknown = await launcher.requireEngine(never).catch((reason: unknown) => reason);
    expect(error === undefined ? undefined : error?.constructor).toBe(expected);
  });
});
