import * as fc from 'fast-check';
import { fillTemplate } from '../../../src/runners/http/http-template.js';
import { httpOptionSchema } from '../../../src/runners/http/http-options.js';
import { type HttpModel, httpSection } from '../../../src/runners/http/http-section.js';
import { httpProgram } from '../../../src/runners/http/http-program.js';
import type { ServedPlacement } from '../../../src/runners/placement-server/served-placement.js';

const placement: ServedPlacement = {
  modelName: 'qwen',
  gpuId: 2,
  gpuIds: [2],
  gpus: [{ id: 2, uuid: 'GPU-2' }],
  options: {},
  port: 18_500,
  ports: new Map([['http', 18_500]]),
  settings: { bind_address: '127.0.0.1', device: 'gpu' },
  listenAddress: '127.0.0.1',
  baseUrl: 'http://127.0.0.1:18500',
};

function modelWith(model: Record<string, unknown>): HttpModel {
  const section = httpSection.parse({
    ...{ enabled: true, launcher: 'process', container_name: 'http_server' },
    ...{ ports: { from: 18_500, to: 18_599 }, start_timeout_seconds: 10, stop_grace_seconds: 1 },
    models: { qwen: { command: ['server'], health_path: '/health', ...model } },
  });
  const [made] = Object.values(section.models);
  if (!made) throw new Error('no model');
  return made;
}

/** What would do something in a shell, or as a flag, or as a placeholder. */
const HOSTILE = [
  '; rm -rf /',
  '$(reboot)',
  '`reboot`',
  'a b  c',
  `"quoted" 'twice'`,
  '| tee /etc/passwd',
  '> /dev/sda',
  '&& true',
  '*',
  '~',
  '%s%n',
  '{port}',
  '{option.name}',
  '$1$&$`',
  '\\',
  '../../etc/passwd',
  'é漢字🙂',
];

describe('the arguments of a server by YAML', () => {
  it('are filled in, each list item one argument', () => {
    const model = modelWith({
      args: [
        '--port',
        '{port}',
        '--at={host}:{port}',
        '{model}',
        '{gpu_id}',
        '{gpu_uuid}',
        '-c={option.ctx}',
      ],
      env: { WHERE: 'http://{host}:{port}' },
      options: { ctx: { type: 'integer', default: 1 } },
    });
    const program = httpProgram(model, 'process', { ...placement, options: { ctx: 8 } });
    expect(program.command).toEqual([
      ...['server', '--port', '18500', '--at=127.0.0.1:18500', 'qwen', '2', 'GPU-2', '-c=8'],
    ]);
    expect(program.env).toEqual({ WHERE: 'http://127.0.0.1:18500' });
  });

  it('have the ports by name; the main one is http', () => {
    const model = modelWith({
      ports: ['grpc', 'constructor'],
      args: ['{port}', '{port.http}', '{option.grpc}', '--grpc={host}:{port.grpc}'],
      env: { METRICS: '{port.constructor}' },
      options: { grpc: { type: 'string', default: 'x' } },
    });
    const ports = new Map([...placement.ports, ['grpc', 18_503], ['constructor', 18_501]]);
    const options = { grpc: '{port.grpc}' };
    expect(httpProgram(model, 'process', { ...placement, ports, options })).toMatchObject({
      command: ['server', '18500', '18500', '{port.grpc}', '--grpc=127.0.0.1:18503'],
      env: { METRICS: '18501' },
    });
  });

  it('go to the entry point of the image, or to the command in its place', () => {
    const model = { image_name: 'x:1', args: ['--port', '{port}'] };
    const own = httpProgram(
      modelWith({ ...model, launcher: 'docker', command: undefined }),
      'docker',
      placement,
    );
    expect(own).toEqual({ image: 'x:1', command: ['--port', '18500'], env: {} });
    const other = httpProgram(modelWith({ ...model, launcher: 'docker' }), 'docker', placement);
    expect(other).toMatchObject({ entrypoint: ['server'], command: ['--port', '18500'] });
  });

  it('leave braces alone that are no placeholders', () => {
    const json = '{"chat":{"a b":[{}]},"x":"{ port }"}';
    expect(httpProgram(modelWith({ args: [json] }), 'process', placement).command).toEqual(['server', json]);
  });

  it.each(HOSTILE)('keep %j as one argument, as it is', (value) => {
    const model = modelWith({
      args: ['--name', '{option.name}', '--name={option.name}'],
      env: { NAME: '{option.name}' },
      options: { name: { type: 'string', default: 'x' } },
    });
    expect(httpOptionSchema(model.options.name ?? { type: 'boolean', default: true }).parse(value)).toBe(
      value,
    );
    const program = httpProgram(model, 'process', { ...placement, options: { name: value } });
    expect(program.command).toEqual(['server', '--name', value, `--name=${value}`]);
    expect(program.env).toEqual({ NAME: value });
  });

  it('are as many as the YAML has, whatever the values', () => {
    const args = ['{option.a}', 'x{option.a}{option.b}y', '{option.b}'];
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        const filled = args.map((text) =>
          fillTemplate(
            text,
            new Map([
              ['option.a', a],
              ['option.b', b],
            ]),
          ),
        );
        expect(filled).toEqual([a, `x${a}${b}y`, b]);
      }),
    );
  });
});

describe('the value of an option', () => {
  const text = httpOptionSchema({ type: 'string', default: '' });

  it.each(['--rpc=evil', '-m', '-', 'a\nb', 'a\rb', 'a\0b', '\u2028', '\x1b[2J', '\x85', 'x'.repeat(1025)])(
    'is not the text %j',
    (value) => {
      expect(text.safeParse(value).success).toBe(false);
    },
  );

  it.each([[['a']], [{ toString: 'x' }], [null], [true], [5]])('is no text: %j', (value) => {
    expect(text.safeParse(value).success).toBe(false);
  });

  it('may begin with a dash where the YAML says so', () => {
    const schema = httpOptionSchema({ type: 'string', allow_leading_dash: true, default: '' });
    expect(schema.safeParse('-1.5').success).toBe(true);
    expect(schema.safeParse('-1\n').success).toBe(false);
  });

  it('matches its pattern as a whole, and is one of its enum', () => {
    const pattern = httpOptionSchema({ type: 'string', pattern: 'q[0-9]|f16', default: 'q4' });
    expect(['q4', 'f16'].map((value) => pattern.safeParse(value).success)).toEqual([true, true]);
    expect(['q4;', 'xf16', 'q4 f16', ''].map((value) => pattern.safeParse(value).success)).not.toContain(
      true,
    );
    const one = httpOptionSchema({ type: 'string', enum: ['a', 'b'], default: 'a' });
    expect(['b', 'c', 'ab'].map((value) => one.safeParse(value).success)).toEqual([true, false, false]);
  });

  it('is a number within its bounds; below 0 only where min is', () => {
    const plain = httpOptionSchema({ type: 'integer', max: 10, default: 1 });
    expect([0, 10, 11, -1, 1.5, '5', NaN, Infinity].map((value) => plain.safeParse(value).success)).toEqual([
      ...[true, true, false, false, false, false, false, false],
    ]);
    expect(httpOptionSchema({ type: 'number', min: -1, default: 0 }).safeParse(-0.5).success).toBe(true);
  });
});
