import type { ModelConfig, TensorConfig } from './model-config.js';
import type { StandinSettings } from './standin-settings.js';
import { TritonError } from './triton-error.js';

/** Triton's datatypes over HTTP, by those of the configuration. */
const NUMBERS = new Set([
  ...['UINT8', 'UINT16', 'UINT32', 'UINT64', 'INT8', 'INT16', 'INT32', 'INT64'],
  ...['FP16', 'FP32', 'FP64', 'BF16'],
]);
const DATATYPES = new Set([...NUMBERS, 'BOOL', 'BYTES']);

export interface Tensor {
  name: string;
  datatype: string;
  shape: number[];
  data: unknown[];
}

/** A request that fits the model it is for. */
export interface InferenceRequest {
  id: string;
  inputs: Tensor[];
  /** Names of the outputs that are wanted. */
  outputs: string[];
}

/** `TYPE_FP32` as HTTP clients know it: `FP32`. */
export function httpDatatype(configured: string): string {
  const plain = configured.replace(/^TYPE_/, '');
  return plain === 'STRING' ? 'BYTES' : plain;
}

/** A tensor's shape as clients see it: with the batch dimension where the model takes batches. */
export function fullShape(config: ModelConfig, tensor: TensorConfig): number[] {
  return config.max_batch_size > 0 ? [-1, ...tensor.dims] : tensor.dims;
}

/** Checks the body of an infer request against the model. Throws TritonError in Triton's words. */
export function parseInference(body: unknown, config: ModelConfig): InferenceRequest {
  const given = member(body, 'inputs');
  if (!Array.isArray(given)) throw unparsable('inputs', 'attempt to access non-existing object member');
  const id = memberOrUndefined(body, 'id');
  const subject = `[request id: ${typeof id === 'string' && id ? id : '<id_unknown>'}]`;
  const inputs = given.map((input) => parseInput(input, config, subject));
  const names = inputs.map((input) => input.name);
  const missing = config.input.filter((input) => !input.optional && !names.includes(input.name));
  if (missing.length > 0) {
    const list = (items: string[]): string => `[${items.map((item) => `'${item}'`).join(',')}]`;
    throw new TritonError(
      'INVALID_ARG',
      `${subject} expected ${config.input.length} inputs but got ${inputs.length} inputs for model '${config.name}'. Got input(s) ${list(names)}, but missing required input(s) ${list(missing.map((input) => input.name))}. Please provide all required input(s).`,
    );
  }
  return { id: typeof id === 'string' ? id : '', inputs, outputs: wantedOutputs(body, config) };
}

/** What a request is answered with. */
export interface InferenceResponse {
  id?: string;
  model_name: string;
  model_version: string;
  outputs: Tensor[];
}

/** The response: every output value is `scale` × input value + `offset`. */
export function infer(
  request: InferenceRequest,
  config: ModelConfig,
  version: string,
  settings: StandinSettings,
): InferenceResponse {
  const outputs = config.output.flatMap((output, index) => {
    const input = request.inputs[index] ?? request.inputs[0];
    if (!input || !request.outputs.includes(output.name)) return [];
    return [computed(input, output, settings)];
  });
  const id = request.id ? { id: request.id } : {};
  return { ...id, model_name: config.name, model_version: version, outputs };
}

function computed(input: Tensor, output: TensorConfig, settings: StandinSettings): Tensor {
  const datatype = httpDatatype(output.data_type);
  const data = input.data.map((value) => {
    if (typeof value !== 'number' || !NUMBERS.has(datatype)) return value;
    const result = value * settings.scale + settings.offset;
    return datatype.includes('INT') ? Math.trunc(result) : result;
  });
  return { name: output.name, datatype, shape: input.shape, data };
}

function parseInput(input: unknown, config: ModelConfig, subject: string): Tensor {
  const name = member(input, 'name');
  if (typeof name !== 'string') throw unparsable('name', 'attempt to access JSON non-string as string');
  const datatype = member(input, 'datatype');
  if (typeof datatype !== 'string')
    throw unparsable('datatype', 'attempt to access JSON non-string as string');
  if (!DATATYPES.has(datatype)) throw invalid(`invalid datatype for input ${name}`);
  const shape = member(input, 'shape');
  if (!isShape(shape))
    throw unparsable('shape', 'attempt to access JSON non-unsigned-integer as unsigned-integer');
  const data = memberOrUndefined(input, 'data');
  if (data === undefined) {
    throw invalid(
      "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', 'shared_memory_region' in 'parameters'. But no field is set",
    );
  }
  const flat = flatten(data, datatype);
  if (flat.length !== shape.reduce((product, dim) => product * dim, 1)) {
    throw unparsable('data', "Shape does not match true shape of 'data' field");
  }
  const configured = config.input.find((candidate) => candidate.name === name);
  if (!configured) throw invalid(`unexpected inference input '${name}' for model '${config.name}'`);
  const expected = httpDatatype(configured.data_type);
  if (datatype !== expected) {
    throw invalid(
      `${subject} inference input '${name}' data-type is '${datatype}', but model '${config.name}' expects '${expected}'`,
    );
  }
  checkShape(shape, config, configured, subject);
  return { name, datatype, shape, data: flat };
}

function checkShape(shape: number[], config: ModelConfig, configured: TensorConfig, subject: string): void {
  const expected = fullShape(config, configured);
  const fits =
    shape.length === expected.length && shape.every((dim, at) => [dim, -1].includes(expected[at] ?? 0));
  const what = `for input '${configured.name}' for model '${config.name}'`;
  if (!fits)
    throw invalid(
      `${subject} unexpected shape ${what}. Expected [${expected.join()}], got [${shape.join()}]. `,
    );
  const batch = config.max_batch_size > 0 ? (shape[0] ?? 0) : 1;
  if (batch > Math.max(config.max_batch_size, 1)) {
    throw invalid(
      `${subject} inference request batch-size must be <= ${config.max_batch_size} for '${config.name}'`,
    );
  }
}

function wantedOutputs(body: unknown, config: ModelConfig): string[] {
  const known = config.output.map((output) => output.name);
  const given = memberOrUndefined(body, 'outputs');
  if (!Array.isArray(given) || given.length === 0) return known;
  return given.map((output) => {
    const name = member(output, 'name');
    if (typeof name === 'string' && known.includes(name)) return name;
    throw invalid(`unexpected inference output '${String(name)}' for model '${config.name}'`);
  });
}

function flatten(data: unknown, datatype: string): unknown[] {
  const values: unknown[] = Array.isArray(data) ? data.flat(Infinity) : [data];
  const type = NUMBERS.has(datatype) ? 'number' : datatype === 'BOOL' ? 'boolean' : 'string';
  if (values.every((value) => typeof value === type)) return values;
  const words = type === 'number' ? 'non-number as double' : `non-${type} as ${type}`;
  throw unparsable('data', `attempt to access JSON ${words}`);
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((dim) => Number.isSafeInteger(dim) && Number(dim) >= 0);
}

function member(object: unknown, name: string): unknown {
  const value = memberOrUndefined(object, name);
  if (value === undefined) throw unparsable(name, `attempt to access non-existing object member '${name}'`);
  return value;
}

function memberOrUndefined(object: unknown, name: string): unknown {
  if (typeof object !== 'object' || object === null || Array.isArray(object)) return undefined;
  return Object.hasOwn(object, name) ? (object as Record<string, unknown>)[name] : undefined;
}

function unparsable(name: string, problem: string): TritonError {
  return new TritonError('INTERNAL', `Unable to parse '${name}': ${problem}`);
}

function invalid(problem: string): TritonError {
  return new TritonError('INVALID_ARG', problem);
}
