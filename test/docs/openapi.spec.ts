import { readFileSync } from 'node:fs';
import { backends } from '../../src/runners/backends.js';
import { problemsOf } from '../support/openapi-document.js';

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly requestBody?: object;
  readonly responses: Readonly<
    Record<string, { content?: { 'application/json': { examples?: Record<string, { value: ErrorBody }> } } }>
  >;
}

interface ErrorBody {
  readonly detail: string;
  readonly code: string;
}

const document = JSON.parse(readFileSync('openapi.json', 'utf8')) as {
  components: { schemas: Record<string, { properties?: Record<string, { nullable?: true }> }> };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
};

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    name: `${method.toUpperCase()} ${path}`,
    ...operation,
  })),
);

/** Every error answer that the document has, with its examples. */
const answers = operations.flatMap(({ name, responses }) =>
  Object.entries(responses)
    .filter(([status]) => Number(status) >= 400)
    .map(([status, { content }]) => ({
      name: `${name} ${status}`,
      status,
      examples: Object.entries(content?.['application/json'].examples ?? {}),
    })),
);

/** Generated clients name their functions after these: they stay. */
const OPERATION_IDS = {
  'GET /': 'getWelcome',
  'GET /health/checks': 'getHealthChecks',
  'GET /health/live': 'getLiveness',
  'GET /health/ready': 'getReadiness',
  'GET /api/v1/gpus': 'listGpus',
  'POST /api/v1/gpus/{gpu_id}/cordon': 'cordonGpu',
  'POST /api/v1/gpus/{gpu_id}/uncordon': 'uncordonGpu',
  'DELETE /api/v1/processes/{pid}': 'endProcess',
  'POST /api/v1/models/start': 'startModel',
  'POST /api/v1/models/plan': 'planStart',
  'POST /api/v1/models/stop': 'stopModel',
  'GET /api/v1/models/status': 'listPlacements',
  'GET /api/v1/models/status/{model_name}': 'listModelPlacements',
  'GET /api/v1/models/supported': 'listSupportedModels',
  'POST /api/v1/models/sleep': 'sleepModel',
  'POST /api/v1/models/wake': 'wakeModel',
  'GET /api/v1/models/orphans': 'listOrphans',
};

describe('the document of the API', () => {
  it('has an id for each operation, which stays', () => {
    expect(Object.fromEntries(operations.map(({ name, operationId }) => [name, operationId]))).toEqual(
      OPERATION_IDS,
    );
  });

  it('allows null wherever it says so', () => {
    const nullable = Object.entries(document.components.schemas).flatMap(([schema, { properties = {} }]) =>
      Object.keys(properties)
        .filter((key) => properties[key]?.nullable)
        .map((key) => [schema, key] as const),
    );
    expect(nullable).toContainEqual(['ModelInstanceInfo', 'gpu_memory']);
    expect(nullable).toContainEqual(['StartRequest', 'config']);
    const refused = nullable.filter(([schema, key]) =>
      problemsOf(schema, { [key]: null }).some((problem) => problem.startsWith(`/${key} `)),
    );
    expect(refused).toEqual([]);
  });

  it('has its operations in the order of its tags, each under one of them', () => {
    const order = operations.map(({ tags }) => document.tags.findIndex(({ name }) => name === tags[0]));
    expect(order).not.toContain(-1);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(operations.filter(({ tags }) => tags.length !== 1)).toEqual([]);
  });

  it('says of each operation that takes a body, that this can be too large', () => {
    const silent = operations.filter(({ requestBody, responses }) => requestBody && !responses['413']);
    expect(silent.map(({ name }) => name)).toEqual([]);
  });

  it('says of each command that it may not be taken just now', () => {
    const silent = operations.filter(({ name, responses }) => !name.startsWith('GET') && !responses['503']);
    expect(silent.map(({ name }) => name)).toEqual([]);
  });
});

describe('the error answers of the document', () => {
  /** code → the statuses that docs/errors.md has for it. */
  const statuses = new Map(
    [...readFileSync('docs/errors.md', 'utf8').matchAll(/^\| `([A-Z_]+)` \| ([^|]+) \|/gm)].map(
      ([, code = '', status = '']) => [code, status.trim().split(' / ')],
    ),
  );

  it('each have an example, with a code that goes with the status', () => {
    expect(answers.length).toBeGreaterThan(40);
    expect(answers.filter(({ examples }) => examples.length === 0).map(({ name }) => name)).toEqual([]);
    const wrong = answers.flatMap(({ name, status, examples }) =>
      examples
        .filter(([code, { value }]) => value.code !== code || !statuses.get(code)?.includes(status))
        .map(([code]) => `${name} ${code}`),
    );
    expect(wrong).toEqual([]);
  });

  it('are as an error answer is', () => {
    const bodies = answers.flatMap(({ examples }) => examples.map(([, { value }]) => value));
    expect(bodies.length).toBeGreaterThan(40);
    expect(bodies.flatMap((body) => problemsOf('ErrorResponse', body))).toEqual([]);
  });
});

describe('the body of a start', () => {
  const PLACE = { model_name: 'some-model', gpu_id: 0 };

  it.each<[string, object | null]>([
    ['nothing said', {}],
    ['null', null],
    ['Triton', { instances_per_gpu: 8 }],
    ['ComfyUI', { vram: 'low', reserve_vram: 1.5, preview_method: 'auto' }],
    ['ComfyUI, one of its options', { reserve_vram: 0 }],
    ['vLLM', { max_model_len: 4096, gpu_memory_utilization: 0.5, dtype: 'bfloat16', gpu_ids: [0, 1] }],
    [
      'vLLM, as by default',
      { max_model_len: null, gpu_memory_utilization: null, dtype: 'auto', gpu_ids: null },
    ],
    [
      'http, whatever its model has',
      { ctx_size: 4096, flash_attention: true, chat_template: 'chatml', temp: 0.7 },
    ],
  ])('is valid with the options of %s', (_name, config) => {
    expect(problemsOf('StartRequest', { ...PLACE, config })).toEqual([]);
  });

  it('is valid without options', () => {
    expect(problemsOf('StartRequest', PLACE)).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['no object', 'low'],
    ['a list', []],
    ['no option of any backend', { layers: { first: 1 } }],
    ['a list of another backend', { gpu_ids: ['0'] }],
  ])('is not valid with %s', (_name, config) => {
    expect(problemsOf('StartRequest', { ...PLACE, config })).not.toEqual([]);
  });

  it.each(
    backends.flatMap(({ name, options }) => (options ? [{ name, keys: Object.keys(options.shape) }] : [])),
  )('has a schema with all options of $name, none of them required', ({ name, keys }) => {
    const schema = `${name.charAt(0).toUpperCase()}${name.slice(1)}StartOptions`;
    expect(problemsOf(schema, {})).toEqual([]);
    expect(problemsOf(schema, { colour: 'red' })).toEqual(['/ must NOT have additional properties']);
    for (const key of keys) {
      expect(problemsOf(schema, { [key]: { wrong: true } }).join()).toContain(`/${key} must be`);
    }
  });
});
