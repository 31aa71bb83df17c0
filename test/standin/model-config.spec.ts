import {
  checkInstanceGroups,
  completeInstanceGroups,
  instancesOf,
} from '../../standin/tritonserver/instance-groups.js';
import { differsInInstancesOnly, parseModelConfig } from '../../standin/tritonserver/model-config.js';
import { visibleGpus } from '../../standin/tritonserver/visible-gpus.js';

const CONFIG = `
  name: "MAM" backend: "python" max_batch_size: 8
  input [ { name: "INPUT" data_type: TYPE_FP32 dims: [ 4 ] } ]
  output [ { name: "OUTPUT" data_type: TYPE_FP32 dims: [ 4 ] } ]
  parameters { key: "a" value { string_value: "b" } }
`;
const parse = (groups = ''): ReturnType<typeof parseModelConfig> => parseModelConfig(`${CONFIG}\n${groups}`);

describe('config.pbtxt', () => {
  it('is told as JSON the way Triton does', () => {
    expect(parse('instance_group [ { count: 2 kind: KIND_CPU } ]')).toMatchObject({
      name: 'MAM',
      backend: 'python',
      version_policy: { latest: { num_versions: 1 } },
      max_batch_size: 8,
      input: [{ name: 'INPUT', data_type: 'TYPE_FP32', format: 'FORMAT_NONE', dims: [4], optional: false }],
      output: [{ name: 'OUTPUT', data_type: 'TYPE_FP32', dims: [4], label_filename: '' }],
      instance_group: [{ name: '', kind: 'KIND_CPU', count: 2, gpus: [], passive: false }],
      default_model_filename: 'model.py',
      parameters: { a: { string_value: 'b' } },
    });
  });

  it('keeps both groups where instance_group stands twice', () => {
    const config = parse('instance_group { count: 1 } instance_group [ { count: 2 } ]');
    expect(config.instance_group.map((group) => group.count)).toEqual([1, 2]);
  });

  it.each([
    [
      'a field Triton does not know',
      'nonsense: 3',
      'Message type "inference.ModelConfig" has no field named "nonsense".',
    ],
    [
      'such a field of a group',
      'instance_group { gpu: 1 }',
      '"inference.ModelInstanceGroup" has no field named "gpu".',
    ],
    ['a field given twice', 'name: "x"', 'Non-repeated field "name" is specified multiple times.'],
    ['a string for a number', 'instance_group { count: "1" }', 'Expected integer for "count", got: 1'],
    [
      'a fraction for a whole number',
      'instance_group { gpus: 0.5 }',
      'Expected integer for "gpus", got: 0.5',
    ],
    ['a scalar for a message', 'instance_group: 1', 'Expected message for "instance_group", got: 1'],
    [
      'an unknown kind',
      'instance_group { kind: KIND_TPU }',
      'Unknown enumeration value of "KIND_TPU" for field "kind".',
    ],
  ])('refuses %s', (_, text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  it('tells a change of instances from any other change', () => {
    const config = parse('instance_group { count: 1 }');
    expect(differsInInstancesOnly(config, parse('instance_group { count: 2 }'))).toBe(true);
    expect(differsInInstancesOnly(config, parse('runtime: "x" instance_group { count: 1 }'))).toBe(false);
  });
});

describe('instance groups', () => {
  const complete = (groups: string, gpus: number[]): ReturnType<typeof parseModelConfig> =>
    completeInstanceGroups(parse(groups), gpus);

  it.each([
    ['no group at all', '', [0, 1], { name: 'MAM_0', kind: 'KIND_GPU', count: 1, gpus: [0, 1] }],
    ['no group on a host without GPUs', '', [], { kind: 'KIND_CPU', count: 1, gpus: [] }],
    [
      'KIND_GPU without gpus',
      'instance_group { kind: KIND_GPU }',
      [0, 1],
      { kind: 'KIND_GPU', gpus: [0, 1] },
    ],
    ['no count', 'instance_group { kind: KIND_CPU }', [0], { kind: 'KIND_CPU', count: 1, gpus: [] }],
    ['a name', 'instance_group { name: "mine" kind: KIND_CPU }', [0], { name: 'mine' }],
  ])('completes %s', (_, groups, gpus, expected) => {
    const [group] = complete(groups, gpus).instance_group;
    expect(group).toMatchObject(groups ? expected : { ...expected, name: 'MAM' });
  });

  it.each([
    [
      'a GPU it does not see',
      'kind: KIND_GPU gpus: [ 0, 2 ]',
      [0, 1],
      'specifies invalid or unsupported gpu id 2.',
    ],
    [
      'any GPU where it sees none',
      'kind: KIND_GPU gpus: [ 0 ]',
      [],
      'specifies invalid or unsupported gpu id 0.',
    ],
    ['KIND_GPU where it sees none', 'kind: KIND_GPU', [], 'has kind KIND_GPU but no GPUs are available'],
    [
      'GPUs of KIND_CPU',
      'kind: KIND_CPU gpus: [ 0 ]',
      [0],
      'has kind KIND_CPU but specifies one or more GPUs',
    ],
  ])('refuses %s', (_, group, gpus, message) => {
    const config = complete(`instance_group { ${group} }`, gpus);
    expect(() => {
      checkInstanceGroups(config, gpus);
    }).toThrow(`instance group MAM_0 of model MAM ${message}`);
  });

  it('counts instances per GPU', () => {
    const config = complete('instance_group { count: 2 kind: KIND_GPU gpus: [ 0, 3 ] }', [0, 1, 2, 3]);
    expect(instancesOf(config)).toHaveLength(4);
  });
});

describe('the GPUs of the host', () => {
  it.each<[Record<string, string>, number]>([
    [{}, 4],
    [{ TRITON_STANDIN_GPUS: '2' }, 2],
    [{ TRITON_STANDIN_GPUS: '0' }, 0],
    [{ CUDA_VISIBLE_DEVICES: '3' }, 1],
    [{ CUDA_VISIBLE_DEVICES: '1,3' }, 2],
    [{ CUDA_VISIBLE_DEVICES: 'GPU-1a, GPU-2b' }, 2],
    [{ CUDA_VISIBLE_DEVICES: '0,9,1' }, 1],
    [{ CUDA_VISIBLE_DEVICES: '-1' }, 0],
    [{ CUDA_VISIBLE_DEVICES: '' }, 0],
  ])('%j: %d', (env, count) => {
    expect(visibleGpus(env)).toEqual([0, 1, 2, 3].slice(0, count));
  });

  it.each(['-1', '1.5', 'four', '1e9'])('refuses TRITON_STANDIN_GPUS=%s', (text) => {
    expect(() => visibleGpus({ TRITON_STANDIN_GPUS: text })).toThrow(
      'TRITON_STANDIN_GPUS must be a whole number',
    );
  });
});
