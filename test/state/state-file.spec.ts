import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StateReadError, StateWriteError } from '../../src/state/desired-state.store.js';
import { A, directory, file, onDisk, open, useDirectory } from './desired-state-rig.js';

useDirectory();

describe('a state file that makes no sense', () => {
  it.each([
    ['is empty', ''],
    ['is truncated', '{ "version": 1, "deployments": [ {'],
    ['is garbage', '\u0000\u0001\u0002'],
    ['is no object', '[]'],
    ['is of a newer version', '{ "version": 2, "deployments": [] }'],
    ['lacks what it must have', '{ "version": 1, "deployments": [ { "model_name": "A" } ] }'],
    [
      'has a GPU that cannot be',
      JSON.stringify({ version: 1, deployments: [{ ...A, placements: [{ gpu_id: -1, wanted: 'serve' }] }] }),
    ],
    ['has a time that is none', JSON.stringify({ version: 1, deployments: [{ ...A, created_at: 'noon' }] })],
  ])('because it %s is set aside, loudly, and nothing is lost of it', async (_name, text) => {
    await writeFile(file, text);
    const { store, lines } = open();
    await expect(store.load()).resolves.toEqual([]);
    const [aside, ...more] = await readdir(directory);
    expect(more).toEqual([]);
    expect(aside).toMatch(/^desired-state\.json\.unreadable-\d{4}-/);
    expect(await readFile(join(directory, String(aside)), 'utf8')).toBe(text);
    expect(lines).toMatchObject([{ level: 50, aside: join(directory, String(aside)) }]);
    await store.put('A', A);
    await expect(onDisk()).resolves.toEqual([A]);
  });

  it('from a newer version is said to be that', async () => {
    await writeFile(file, JSON.stringify({ version: 7, deployments: [A], more: true }));
    const { store, lines } = open();
    await store.load();
    expect(lines).toHaveLength(1);
    expect(lines[0]?.msg).toContain('from a newer version of this service');
    expect(lines[0]?.fault).toContain('its format is 7, this one reads 1');
  });

  it('leaves word, for every run of the service to come, that what runs is to be taken up, until it is', async () => {
    await writeFile(file, 'garbage');
    const first = open().store;
    expect(first.adoption).toBeUndefined();
    await first.load();
    expect(first.adoption).toEqual({ done: [] });
    // Nothing but the file set aside tells a second run.
    const second = open();
    await second.store.load();
    expect(second.store.adoption).toEqual({ done: [] });
    expect(second.lines).toMatchObject([{ level: 50 }]);
    expect(second.lines[0]?.msg).toContain('one that was set aside');
    await second.store.put('A', A);
    await second.store.putAdoption({ done: ['triton'] });
    const third = open();
    await expect(third.store.load()).resolves.toEqual([A]);
    expect(third.store.adoption).toEqual({ done: ['triton'] });
    expect(third.lines).toEqual([]);
    await third.store.putAdoption(undefined);
    const fourth = open().store;
    await expect(fourth.load()).resolves.toEqual([A]);
    expect(fourth.adoption).toBeUndefined();
  });

  it('is not forgotten because the word of its end cannot be written', async () => {
    await writeFile(file, 'garbage');
    const { store } = open();
    await store.load();
    await mkdir(file);
    await expect(store.putAdoption(undefined)).rejects.toThrow(StateWriteError);
    expect(store.adoption).toEqual({ done: [] });
  });

  it('is none that is missing: of that nothing is to be taken up', async () => {
    const { store } = open();
    await store.load();
    expect(store.adoption).toBeUndefined();
  });

  it('holds no model twice: the last one counts', async () => {
    const later = { ...A, placements: [] };
    await writeFile(file, JSON.stringify({ version: 1, deployments: [A, later] }));
    await expect(open().store.load()).resolves.toEqual([later]);
  });
});

describe('a state that cannot be read', () => {
  it('because something else is in its place is an error: it must not be taken for an empty one', async () => {
    await mkdir(file);
    await expect(open().store.load()).rejects.toThrow(StateReadError);
  });

  it('because its directory is a file is an error', async () => {
    await writeFile(join(directory, 'a-file'), '');
    await expect(open(join(directory, 'a-file')).store.load()).rejects.toMatchObject({
      code: 'STATE_READ_FAILED',
    });
  });
});
