import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestService } from '../support/service.js';

const TEMPLATE = 'config.pbtxt.template';
const CONFIG = 'config.pbtxt';
const SECRET = 'name: "MAM"\nbackend: "python" # what root alone may read\n';

let service: TestService;
/** Beside the repository. */
let outside: string;

beforeEach(async () => {
  outside = mkdtempSync(join(tmpdir(), 'mic-outside-'));
  service = await TestService.create({
    models: { MAM: { load_seconds: 0.1 }, Other: { load_seconds: 0.1 } },
  });
});

afterEach(async () => {
  await service.dispose();
  rmSync(outside, { recursive: true, force: true });
});

const inModel = (name: string, model = 'MAM'): string => join(service.repository, model, name);

/** Refused before 202, with these words; nothing is there that was not, and another model starts. */
async function expectRefused(words: string): Promise<void> {
  const { status, body } = await service.start('MAM', 0);
  expect({ status, code: body.code }).toEqual({ status: 500, code: 'MODEL_CONFIG_FAILED' });
  expect(body.detail).toContain(words);
  expect((await service.start('Other', 1)).status).toBe(202);
  await service.untilRunning('Other@1');
}

/** Starts, serves and stops. */
async function expectServed(): Promise<void> {
  expect((await service.start('MAM', 0)).status).toBe(202);
  await service.untilRunning('MAM@0');
  expect((await service.stop('MAM', 0)).status).toBe(200);
}

describe('F44: links in the model repository', () => {
  it('config.pbtxt is a link: what it leads to stays as it is, and so does the link', async () => {
    const target = join(outside, 'target');
    writeFileSync(target, 'precious');
    symlinkSync(target, inModel(CONFIG));
    await service.boot();
    await expectRefused(`${inModel(CONFIG)} is a link`);
    expect((await service.stop('MAM', 0)).status).toBeLessThan(500);
    expect(readFileSync(target, 'utf8')).toBe('precious');
    expect(readlinkSync(inModel(CONFIG))).toBe(target);
  });

  it('config.pbtxt becomes a link while the model serves: its next load is an error, and it can be stopped', async () => {
    const target = join(outside, 'target');
    writeFileSync(target, 'precious');
    await service.boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    rmSync(inModel(CONFIG));
    symlinkSync(target, inModel(CONFIG));
    const { status, body } = await service.start('MAM', 1);
    expect({ status, code: body.code }).toEqual({ status: 500, code: 'MODEL_CONFIG_FAILED' });
    expect((await service.stop('MAM', 0)).status).toBe(200);
    expect(readFileSync(target, 'utf8')).toBe('precious');
    expect(lstatSync(inModel(CONFIG)).isSymbolicLink()).toBe(true);
  });

  it('the template is a link out of it: what it leads to is not copied', async () => {
    const secret = join(outside, 'secret');
    writeFileSync(secret, SECRET, { mode: 0o600 });
    rmSync(inModel(TEMPLATE));
    symlinkSync(secret, inModel(TEMPLATE));
    await service.boot();
    await expectRefused(`${inModel(TEMPLATE)} leads out of the model repository, to ${secret}`);
    expect(readdirSync(join(service.repository, 'MAM'))).not.toContain(CONFIG);
  });

  it("the model's directory is a link out of it: nothing is read or written there", async () => {
    const elsewhere = join(outside, 'MAM');
    renameSync(join(service.repository, 'MAM'), elsewhere);
    symlinkSync(elsewhere, join(service.repository, 'MAM'));
    await service.boot();
    await expectRefused(`leads out of the model repository, to ${elsewhere}`);
    expect(readdirSync(elsewhere)).not.toContain(CONFIG);
  });

  it('links within it are followed: a template that models share, a directory under another name, a version elsewhere', async () => {
    const shared = join(service.repository, '.shared');
    mkdirSync(shared);
    renameSync(inModel(TEMPLATE), join(shared, TEMPLATE));
    symlinkSync(`../.shared/${TEMPLATE}`, inModel(TEMPLATE));
    renameSync(join(service.repository, 'MAM'), join(shared, 'MAM-7'));
    symlinkSync('.shared/MAM-7', join(service.repository, 'MAM'));
    rmSync(join(shared, 'MAM-7', TEMPLATE));
    symlinkSync(`../${TEMPLATE}`, join(shared, 'MAM-7', TEMPLATE));
    // What the service does not read may be anywhere: on a big disk.
    renameSync(join(shared, 'MAM-7/1'), join(outside, '1'));
    symlinkSync(join(outside, '1'), join(shared, 'MAM-7/1'));
    await service.boot();
    await expectServed();
  });
});

describe('F44: the text of a template', () => {
  it.each([
    ['behind a comment', 'instance_group # of our own\n[ { count: 1 kind: KIND_CPU } ]'],
    ['behind a comment and a colon', 'instance_group # a\n # b\n : # c\n { count: 1 kind: KIND_CPU }'],
    ['in angle brackets', 'instance_group\f<count: 1 kind: KIND_CPU>'],
    [
      'behind an adjacent string',
      `default_model_filename: "model" '.py'instance_group{ count: 1 kind: KIND_CPU }`,
    ],
  ])('an instance_group %s is found, and refused', async (_name, group) => {
    writeFileSync(inModel(TEMPLATE), `name: "MAM"\nbackend: "python"\n${group}\n`);
    await service.boot();
    await expectRefused('has an instance_group of its own');
    expect(readdirSync(join(service.repository, 'MAM'))).not.toContain(CONFIG);
  });

  it('a text that is none is refused with its place, before 202', async () => {
    writeFileSync(inModel(TEMPLATE), 'name: "MAM"\nbackend "python"\n');
    await service.boot();
    await expectRefused('is not valid: 2:9: Expected ":", found "python".');
  });
});
