import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { OpenAPIObject } from '@nestjs/swagger';
import { parse } from 'yaml';
import { z } from 'zod';
import { describeStartOptions } from '../../src/openapi.js';
import type { Backend } from '../../src/runners/backend.js';
import { backends, withheldVariables } from '../../src/runners/backends.js';
import { testConfig } from '../fakes/house.js';
import { RunnerRig } from '../support/runner-rig.js';

/** The base of backends, and none itself. */
const BASE = 'placement-server';

const names: string[] = backends.map(({ name }) => name);

/** `StartRequest.config` of a document with these backends, and the schemas that it refers to. */
function startOptions(...rows: Pick<Backend, 'name' | 'options'>[]): unknown {
  const document: OpenAPIObject = {
    openapi: '3.0.0',
    info: { title: '', version: '' },
    paths: {},
    components: { schemas: { StartRequest: { properties: { config: { description: 'Options.' } } } } },
  };
  describeStartOptions(document, rows);
  const { StartRequest: request, ...others } = document.components?.schemas ?? {};
  return { config: request && 'properties' in request && request.properties.config, ...others };
}

describe('the rows of the backends', () => {
  it('are one for each folder', () => {
    const folders = readdirSync('src/runners', { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    expect([...names, BASE].sort()).toEqual(folders.sort());
  });

  it('each have their section in config/default.yaml, and a page', () => {
    const { runners } = parse(readFileSync('config/default.yaml', 'utf8')) as { runners: object };
    expect(Object.keys(runners).sort()).toEqual([...names].sort());
    expect(names.filter((name) => !existsSync(`docs/backends/${name}.md`))).toEqual([]);
  });

  it('make the runners of the backends that are offered, each with its own section', async () => {
    const rig = await RunnerRig.create();
    const { runners } = testConfig();
    const changed = { ...runners, comfyui: { ...runners.comfyui, enabled: false } };
    const made = backends.flatMap((row) => row.createRunner(changed, rig.host()) ?? []);
    expect(made.map(({ backend, models }) => [backend, models])).toEqual([
      ['triton', ['MAM', 'FastFitAll']],
      ['http', []],
      ['vllm', []],
    ]);
    await rig.dispose();
  });
});

it('what a backend decides, the servers of none inherit', () => {
  const ofEach = [
    'AIP_MODE',
    'COMFYUI_WORKFLOW_DIR',
    'PORT',
    'VLLM_PORT',
    'VLLM_API_KEY',
    'MASTER_ADDR',
    'WORLD_SIZE',
  ];
  expect(withheldVariables).toEqual(expect.arrayContaining(ofEach));
});

describe('the options of a start in the document of the API', () => {
  const options = z.strictObject({ size: z.int().min(1).max(9), name: z.string().optional() });

  it('are any of those of each backend, none of which has to be said', () => {
    const two = z.strictObject({ size: z.enum(['small', 'big']).nullable() });
    expect(startOptions({ name: 'one', options }, { name: 'two', options: two })).toEqual({
      config: {
        description: 'Options. one: `size`, `name`. two: `size`.',
        anyOf: [
          { $ref: '#/components/schemas/OneStartOptions' },
          { $ref: '#/components/schemas/TwoStartOptions' },
        ],
      },
      OneStartOptions: {
        type: 'object',
        nullable: true,
        description: expect.any(String) as string,
        properties: { size: { type: 'integer', minimum: 1, maximum: 9 }, name: { type: 'string' } },
        additionalProperties: false,
      },
      TwoStartOptions: {
        type: 'object',
        nullable: true,
        description: expect.any(String) as string,
        properties: { size: { type: 'string', enum: ['small', 'big'], nullable: true } },
        additionalProperties: false,
      },
    });
  });

  it('are open where the models of a backend have their own', () => {
    expect(startOptions({ name: 'one', options }, { name: 'any' })).toMatchObject({
      config: { description: expect.stringContaining("any: the options of the model's own entry") as string },
      AnyStartOptions: {
        type: 'object',
        additionalProperties: { anyOf: [{ type: 'string' }, { type: 'number' }, { type: 'boolean' }] },
      },
    });
  });
});
