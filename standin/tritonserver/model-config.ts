import { MessageReader, type Json } from './message-reader.js';
import { parseTextFormat, type Message } from '../../src/runners/triton/text-format.js';

const DATA_TYPES = [
  'TYPE_INVALID',
  ...['TYPE_BOOL', 'TYPE_UINT8', 'TYPE_UINT16', 'TYPE_UINT32', 'TYPE_UINT64', 'TYPE_INT8', 'TYPE_INT16'],
  ...['TYPE_INT32', 'TYPE_INT64', 'TYPE_FP16', 'TYPE_FP32', 'TYPE_FP64', 'TYPE_STRING', 'TYPE_BF16'],
] as const satisfies [string, ...string[]];
const FORMATS = ['FORMAT_NONE', 'FORMAT_NHWC', 'FORMAT_NCHW'] as const;
const KINDS = ['KIND_AUTO', 'KIND_GPU', 'KIND_CPU', 'KIND_MODEL'] as const;

/** What runs where: `count` instances on each GPU of `gpus`. */
export interface InstanceGroup {
  name: string;
  kind: (typeof KINDS)[number];
  count: number;
  gpus: number[];
  secondary_devices: Json[];
  profile: string[];
  passive: boolean;
  host_policy: string;
}

/** An input or output of a model. */
export interface TensorConfig {
  name: string;
  data_type: string;
  dims: number[];
  optional?: boolean;
  [other: string]: Json | undefined;
}

/** One model of an ensemble, and which of its tensors are which of the ensemble's. */
export interface EnsembleStep {
  model_name: string;
  model_version: number;
  input_map: Record<string, string>;
  output_map: Record<string, string>;
  model_namespace: string;
}

/** Which versions of a model are served. */
export type VersionPolicy =
  { latest: { num_versions: number } } | { all: object } | { specific: { versions: number[] } };

/** A model's configuration, in the shape of `GET /v2/models/{m}/config`. */
export interface ModelConfig {
  name: string;
  backend: string;
  platform: string;
  version_policy: VersionPolicy;
  max_batch_size: number;
  input: TensorConfig[];
  output: TensorConfig[];
  instance_group: InstanceGroup[];
  ensemble_scheduling?: { step: EnsembleStep[] };
  [other: string]: unknown;
}

/** Fields that are passed on to `/config` as written, and mean nothing to the stand-in. */
const PASSED_ON = [
  ...['dynamic_batching', 'sequence_batching', 'batch_input', 'batch_output'],
  ...['model_warmup', 'model_operations', 'model_transaction_policy', 'model_repository_agents'],
  ...['response_cache', 'model_metrics', 'optimization'],
];
const MAPS = ['cc_model_filenames', 'metric_tags', 'parameters'];
const CONFIG_FIELDS = new Set([
  ...['name', 'platform', 'backend', 'runtime', 'version_policy', 'max_batch_size', 'input', 'output'],
  ...['instance_group', 'default_model_filename', 'ensemble_scheduling'],
  ...PASSED_ON,
  ...MAPS,
]);
const GROUP_FIELDS = new Set([
  ...['name', 'kind', 'count', 'gpus', 'secondary_devices', 'profile', 'passive', 'host_policy'],
  'rate_limiter',
]);
const STEP_FIELDS = new Set(['model_name', 'model_version', 'input_map', 'output_map', 'model_namespace']);
const TENSOR_FIELDS = new Set([
  ...['name', 'data_type', 'format', 'dims', 'reshape', 'is_shape_tensor', 'allow_ragged_batch', 'optional'],
  ...['label_filename', 'is_non_linear_format_io'],
]);

/** Reads the text of a `config.pbtxt`. Throws TextFormatError. */
export function parseModelConfig(text: string): ModelConfig {
  const reader = new MessageReader(parseTextFormat(text), 'ModelConfig', CONFIG_FIELDS);
  const config: ModelConfig = {
    name: reader.string('name'),
    platform: reader.string('platform'),
    backend: reader.string('backend'),
    runtime: reader.string('runtime'),
    version_policy: versionPolicy(reader.messages('version_policy')[0]),
    max_batch_size: reader.integer('max_batch_size'),
    input: reader.messages('input').map((message) => tensor(message, 'ModelInput')),
    output: reader.messages('output').map((message) => tensor(message, 'ModelOutput')),
    batch_input: [],
    batch_output: [],
    optimization: {},
    instance_group: reader.messages('instance_group').map(instanceGroup),
    default_model_filename: reader.string('default_model_filename') || 'model.py',
    model_warmup: [],
  };
  const [scheduling] = reader.messages('ensemble_scheduling');
  if (scheduling) config.ensemble_scheduling = ensembleScheduling(scheduling);
  for (const name of MAPS) config[name] = reader.map(name);
  for (const name of PASSED_ON) if (reader.has(name)) config[name] = reader.json(name);
  return config;
}

/** The configuration Triton completes by itself for a Python model that has no `config.pbtxt`. */
export function completedConfig(modelName: string): ModelConfig {
  return { ...parseModelConfig('backend: "python"'), name: modelName };
}

/** True of a model that is made of others. */
export function isEnsemble({ platform }: ModelConfig): boolean {
  return platform === 'ensemble';
}

/** Names of the models that an ensemble is made of, each once; none of any other model. */
export function stepsOf({ ensemble_scheduling: scheduling }: ModelConfig): string[] {
  return [...new Set(scheduling?.step.map((step) => step.model_name))];
}

/** Why Triton takes up no ensemble with such a configuration, in its words. */
export function ensembleProblem(config: ModelConfig): string | undefined {
  const { name, platform, backend, ensemble_scheduling: scheduling } = config;
  if (!isEnsemble(config)) {
    if (!scheduling || platform !== '' || backend !== '') return undefined;
    return `Invalid model name: Could not determine backend for model '${name}' with no backend in model configuration. Expected model name of the form 'model.<backend_name>'.`;
  }
  if (!scheduling) return `ensemble scheduling must be set for ensemble ${name} whose platform is ensemble`;
  return config.instance_group.length > 0
    ? `instance group should not be specified for ensemble '${name}'`
    : undefined;
}

/** True where nothing but `instance_group` differs. */
export function differsInInstancesOnly(one: ModelConfig, other: ModelConfig): boolean {
  const rest = (config: ModelConfig): string => JSON.stringify({ ...config, instance_group: [] });
  return rest(one) === rest(other);
}

function instanceGroup(message: Message): InstanceGroup {
  const reader = new MessageReader(message, 'ModelInstanceGroup', GROUP_FIELDS);
  return {
    name: reader.string('name'),
    kind: reader.enumeration('kind', KINDS),
    count: reader.integer('count'),
    gpus: reader.integers('gpus'),
    secondary_devices: [reader.json('secondary_devices') ?? []].flat(),
    profile: reader.strings('profile'),
    passive: reader.boolean('passive'),
    host_policy: reader.string('host_policy'),
  };
}

function ensembleScheduling(message: Message): { step: EnsembleStep[] } {
  const reader = new MessageReader(message, 'ModelEnsembling', new Set(['step']));
  return { step: reader.messages('step').map(ensembleStep) };
}

function ensembleStep(message: Message): EnsembleStep {
  const reader = new MessageReader(message, 'ModelEnsembling.Step', STEP_FIELDS);
  const tensors = (name: string): Record<string, string> =>
    Object.fromEntries(
      Object.entries(reader.map(name)).map(([key, value]) => [key, typeof value === 'string' ? value : '']),
    );
  return {
    model_name: reader.string('model_name'),
    model_version: reader.integer('model_version'),
    input_map: tensors('input_map'),
    output_map: tensors('output_map'),
    model_namespace: reader.string('model_namespace'),
  };
}

function tensor(message: Message, typeName: 'ModelInput' | 'ModelOutput'): TensorConfig {
  const reader = new MessageReader(message, typeName, TENSOR_FIELDS);
  const name = reader.string('name');
  const data_type = reader.enumeration('data_type', DATA_TYPES);
  const dims = reader.integers('dims');
  const shared = {
    is_shape_tensor: reader.boolean('is_shape_tensor'),
    is_non_linear_format_io: reader.boolean('is_non_linear_format_io'),
  };
  if (typeName === 'ModelOutput') {
    return { name, data_type, dims, label_filename: reader.string('label_filename'), ...shared };
  }
  return {
    name,
    data_type,
    format: reader.enumeration('format', FORMATS),
    dims,
    allow_ragged_batch: reader.boolean('allow_ragged_batch'),
    optional: reader.boolean('optional'),
    ...shared,
  };
}

function versionPolicy(message: Message | undefined): VersionPolicy {
  const reader = new MessageReader(
    message ?? [],
    'ModelVersionPolicy',
    new Set(['latest', 'all', 'specific']),
  );
  if (reader.has('all')) return { all: {} };
  const specific = reader.messages('specific')[0];
  if (specific) {
    const versions = new MessageReader(specific, 'ModelVersionPolicy.Specific', new Set(['versions']));
    return { specific: { versions: versions.integers('versions') } };
  }
  const latest = new MessageReader(
    reader.messages('latest')[0] ?? [],
    'ModelVersionPolicy.Latest',
    new Set(['num_versions']),
  );
  return { latest: { num_versions: latest.integer('num_versions') || 1 } };
}
