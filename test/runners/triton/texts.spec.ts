import fc from 'fast-check';
import { readTemplate } from '../../../src/runners/triton/config-template.js';
import { GpuVisibility } from '../../../src/runners/triton/gpu-visibility.js';
import {
  groupsInText,
  instanceGroupText,
  placesComment,
  serves,
} from '../../../src/runners/triton/instance-groups.js';
import { GpuNotUsableError } from '../../../src/runners/errors.js';

const topLevelFields = (text: string): readonly string[] => readTemplate(text).topLevel;

describe('the top-level fields of a template', () => {
  it.each([
    ['nothing', '', []],
    ['scalars', 'name: "A"\nbackend: "python" max_batch_size: 8', ['name', 'backend', 'max_batch_size']],
    [
      'messages, with and without a colon',
      'input [ { name: "x" } ] optimization: { a: 1 } b < c: 2 >',
      ['input', 'optimization', 'b'],
    ],
    ['a field that comes twice', 'input { name: "x" } input { name: "y" }', ['input', 'input']],
    ['a field in the middle of nowhere', 'name  \n  : "A"', ['name']],
    ['an instance_group', 'name: "A"\ninstance_group [ { kind: KIND_CPU } ]', ['name', 'instance_group']],
    ['an instance_group right beside its bracket', 'instance_group[{count:1}]', ['instance_group']],
    ['an instance_group with a brace', 'instance_group { count: 1 }', ['instance_group']],
    ['an instance_group behind a comment', 'instance_group # ours\n [ { count: 1 } ]', ['instance_group']],
    [
      'an instance_group behind a comment and a colon',
      'instance_group # :\n : { count: 1 }',
      ['instance_group'],
    ],
    [
      'an instance_group behind blanks of all kinds',
      'instance_group \t\v\f\r\n < count: 1 >',
      ['instance_group'],
    ],
    [
      'an instance_group behind a string',
      `platform: "a" 'b'instance_group{}`,
      ['platform', 'instance_group'],
    ],
    ['an instance_group behind a message', 'a{b{}}instance_group{}', ['a', 'instance_group']],
    ['an instance_group in a comment', '# instance_group [ { } ]\nname: "A"', ['name']],
    ['an instance_group behind a field', 'name: "A" # instance_group: [', ['name']],
    ['an instance_group in a string', 'name: "instance_group [ { } ]"', ['name']],
    ['an instance_group in single quotes', "name: 'instance_group: { \"'", ['name']],
    ['an instance_group behind an escaped quote', 'name: "a\\" instance_group { }"', ['name']],
    [
      'an instance_group inside another message',
      'parameters { key: "x" instance_group { } }',
      ['parameters'],
    ],
    ['a name that only begins like one', 'instance_group_count: 1', ['instance_group_count']],
    ['a hash in a string', 'name: "#" backend: "python"', ['name', 'backend']],
    ['words that are values', 'kind: KIND_CPU on: true', ['kind', 'on']],
  ])('%s', (_name, text, fields) => {
    expect(topLevelFields(text)).toEqual(fields);
  });

  it.each([
    ['a message that is not closed', 'input [ { name: "x" }'],
    ['a bracket too many', 'name: "A" ]'],
    ['a string that is not closed', 'name: "A'],
    ['a string over two lines', 'name: "A\nB"'],
  ])('%s is refused', (_name, text) => {
    expect(() => topLevelFields(text)).toThrow(SyntaxError);
  });

  it('come to an end with any text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...Array.from('ab_:{}[]<>"\'\\#\n ')), maxLength: 60 }),
        (text) => {
          try {
            expect(Array.isArray(topLevelFields(text))).toBe(true);
          } catch (error) {
            expect(error).toBeInstanceOf(SyntaxError);
          }
        },
      ),
    );
  });
});

describe('the steps of an ensemble', () => {
  it.each([
    ['a list', 'step [ { model_name: "A" }, { model_name: "B" } ]', ['A', 'B']],
    ['a message each', 'step { model_name: "A" } step { model_name: "B" }', ['A', 'B']],
    ['colons and angles', 'step: [ < model_name: "A" > ]', ['A']],
    ['single quotes', "step { model_name: 'A' }", ['A']],
    ['a model that comes twice', 'step [ { model_name: "A" }, { model_name: "A" } ]', ['A']],
    ['other strings', 'step { model_name: "A" input_map { key: "IN" value: "x" } }', ['A']],
    ['a comment', 'step { # model_name: "C"\n model_name: "A" }', ['A']],
    ['no step', '', []],
  ])('written with %s', (_name, steps, expected) => {
    const text = `name: "E" platform: "ensemble" ensemble_scheduling { ${steps} } input { name: "model_name" }`;
    expect(readTemplate(text)).toMatchObject({ platform: 'ensemble', steps: expected });
  });

  it('are none of a model that only mentions them', () => {
    const text = 'name: "ensemble_scheduling" parameters { key: "step" value { string_value: "ensemble" } }';
    expect(readTemplate(text)).toMatchObject({ platform: undefined, steps: undefined });
  });
});

describe('the groups of what was written', () => {
  const places = [
    { gpuId: 2, visibleIndex: 0 },
    { gpuId: 3, visibleIndex: null },
  ];
  /** What a copy of an earlier config.pbtxt has in it. */
  const TEMPLATE =
    '# { name: "gpu_7" count: 1 kind: KIND_GPU gpus: [ 7 ] }\n# placement { name: "gpu_8" count: 1 }\nname: "A"\n';

  it('are those of its instance_group, and of no comment', () => {
    expect(groupsInText(TEMPLATE + instanceGroupText(places, 8)).instance_group).toEqual([
      { name: 'gpu_2', count: 8, kind: 'KIND_GPU', gpus: [0] },
      { name: 'gpu_3', count: 8, kind: 'KIND_CPU', gpus: [] },
    ]);
    expect(groupsInText(TEMPLATE).instance_group).toEqual([]);
  });

  it('are the placements in the comments at its end, where Triton chooses the instances', () => {
    expect(groupsInText(TEMPLATE + placesComment(places)).instance_group).toEqual([
      { name: 'gpu_2', count: 1, kind: '', gpus: [] },
      { name: 'gpu_3', count: 1, kind: '', gpus: [] },
    ]);
  });
});

describe('the instance_group', () => {
  it('has one group per placement, named after its GPU, with the index the server knows', () => {
    const places = [
      { gpuId: 2, visibleIndex: 0 },
      { gpuId: 3, visibleIndex: 1 },
    ];
    expect(instanceGroupText(places, 8)).toBe(
      'instance_group [\n' +
        '  { name: "gpu_2" count: 8 kind: KIND_GPU gpus: [ 0 ] },\n' +
        '  { name: "gpu_3" count: 8 kind: KIND_GPU gpus: [ 1 ] }\n' +
        ']\n',
    );
  });

  it('is on the CPU where the server sees no GPU', () => {
    expect(instanceGroupText([{ gpuId: 1, visibleIndex: null }], 1)).toContain(
      '{ name: "gpu_1" count: 1 kind: KIND_CPU }',
    );
  });

  it('names the kind that the model is configured with, and no GPU then', () => {
    const places = [
      { gpuId: 0, visibleIndex: null },
      { gpuId: 2, visibleIndex: null },
    ];
    expect(instanceGroupText(places, 2, 'KIND_MODEL')).toBe(
      'instance_group [\n' +
        '  { name: "gpu_0" count: 2 kind: KIND_MODEL },\n' +
        '  { name: "gpu_2" count: 2 kind: KIND_MODEL }\n' +
        ']\n',
    );
  });

  it('is one top-level field', () => {
    expect(topLevelFields(instanceGroupText([{ gpuId: 0, visibleIndex: 0 }], 1))).toEqual(['instance_group']);
  });

  it.each([
    ['on this GPU with so many instances', [{ name: 'gpu_1', count: 2, gpus: [] }], true],
    [
      'beside others',
      [
        { name: 'gpu_0', count: 2, gpus: [] },
        { name: 'gpu_1', count: 2, gpus: [] },
      ],
      true,
    ],
    ['with another number of instances', [{ name: 'gpu_1', count: 3, gpus: [] }], false],
    ['on another GPU', [{ name: 'gpu_11', count: 2, gpus: [] }], false],
    ['nowhere', [], false],
  ])('tells whether Triton serves: %s', (_name, groups, expected) => {
    const instance_group = groups.map((group) => ({ ...group, kind: 'KIND_GPU' }));
    expect(serves({ instance_group }, { gpuId: 1, visibleIndex: 0 }, 2, 'KIND_GPU')).toBe(expected);
  });

  it.each([
    ['KIND_GPU', true],
    ['KIND_CPU', false],
    ['KIND_MODEL', false],
  ] as const)('tells whether its instances are of the kind that is wanted: %s', (kind, expected) => {
    const config = { instance_group: [{ name: 'gpu_1', count: 2, kind, gpus: [] }] };
    expect(serves(config, { gpuId: 1, visibleIndex: 0 }, 2, 'KIND_GPU')).toBe(expected);
  });
});

describe('the GPUs a server sees', () => {
  const gpus = [0, 1, 2, 3].map((id) => ({ id, uuid: `GPU-${id}` }));
  const placesOf = (selection: string, ...gpuIds: number[]) =>
    new GpuVisibility(selection).places(of(gpuIds), gpus, undefined);
  const of = (gpuIds: readonly number[]) => ({ modelName: 'MAM', gpuIds, options: {} });

  it.each([
    ['all', { kind: 'all' }],
    ['none', { kind: 'none' }],
    ['device=3,1', { kind: 'devices', ids: ['GPU-1', 'GPU-3'] }],
    ['device=GPU-2,0', { kind: 'devices', ids: ['GPU-0', 'GPU-2'] }],
  ])('%s', (selection, access) => {
    expect(new GpuVisibility(selection).of(gpus).access).toEqual(access);
  });

  it('are pinned by index where there is no UUID', () => {
    expect(new GpuVisibility('device=1').of([{ id: 1, uuid: null }]).access).toEqual({
      kind: 'devices',
      ids: ['1'],
    });
  });

  it.each([
    ['all', 2, 2],
    ['none', 2, null],
    ['device=2', 2, 0],
    ['device=3,2', 2, 0],
    ['device=3,2', 3, 1],
    ['device=GPU-3,GPU-1', 3, 1],
    ['device=1,GPU-1,3', 3, 1],
  ])('%s: GPU %d is number %p', (selection, gpuId, visibleIndex) => {
    expect(placesOf(selection, gpuId)).toEqual([{ gpuId, visibleIndex }]);
  });

  it('have the numbers of the PCI order, whatever order they are read in', () => {
    const shuffled = [gpus[3], gpus[0], gpus[2]].flatMap((gpu) => gpu ?? []);
    expect(new GpuVisibility('all').places(of([2, 3]), shuffled, undefined)).toEqual([
      { gpuId: 2, visibleIndex: 1 },
      { gpuId: 3, visibleIndex: 2 },
    ]);
  });

  it('do not include what was not given to it', () => {
    expect(() => placesOf('device=0,1', 0, 2)).toThrow(GpuNotUsableError);
    expect(() => placesOf('all', 7)).toThrow('GPU 7 is not among those Triton sees');
  });

  it.each([
    [
      'device=2,3',
      2,
      /or stop what it serves, so that it is launched anew with runners\.triton\.gpus: device=2,3/,
    ],
    ['device=0,1', 2, /or change runners\.triton\.gpus: device=0,1, which has it not either/],
  ])('%s: the remedy for GPU %d, which the running server lacks, helps', (selection, gpuId, words) => {
    const sight = { serverName: 'triton_server', visible: ['GPU-0', 'GPU-1'] };
    expect(() => new GpuVisibility(selection).places(of([gpuId]), gpus, sight)).toThrow(words);
  });

  it.each([
    ['device=7', 'runners.triton.gpus: device=7: there is no GPU 7 on this host. GPUs: 0, 1, 2, 3.'],
    ['device=0,GPU-x,9', 'there is no GPU GPU-x, 9 on this host'],
  ])('%s names a GPU that is not there', (selection, words) => {
    expect(() => {
      new GpuVisibility(selection).checkSelection(gpus);
    }).toThrow(words);
  });

  it.each([
    ['all', gpus],
    ['none', gpus],
    ['device=3,GPU-1', gpus],
    ['device=GPU-x', [{ id: 0, uuid: null }]],
    ['device=7', []],
  ])('%s names none, as far as can be told', (selection, known) => {
    expect(() => {
      new GpuVisibility(selection).checkSelection(known);
    }).not.toThrow();
  });
});
