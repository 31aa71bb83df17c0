import { infer, type InferenceRequest, type InferenceResponse, type Tensor } from './inference.js';
import type { ModelConfig } from './model-config.js';
import type { ServedModel } from './served-model.js';
import { TritonError } from './triton-error.js';

/** Runs a request through the steps of an ensemble, one after another. Throws TritonError. */
export async function inferThrough(
  request: InferenceRequest,
  { name, ensemble_scheduling: scheduling }: ModelConfig,
  version: string,
  serving: (model: string) => ServedModel,
): Promise<InferenceResponse> {
  const tensors = new Map(request.inputs.map((tensor) => [tensor.name, tensor]));
  for (const { model_name, input_map, output_map } of scheduling?.step ?? []) {
    const model = serving(model_name);
    const inputs = Object.entries(input_map).map(([own, outer]) => ({
      ...tensorOf(tensors, outer, name),
      name: own,
    }));
    const step = { id: '', inputs, outputs: Object.keys(output_map) };
    const stepVersion = model.versions.at(-1) ?? '';
    const { outputs } = await model.execute(() => infer(step, model.config, stepVersion, model.settings));
    for (const output of outputs) {
      const outer = output_map[output.name];
      if (outer !== undefined) tensors.set(outer, { ...output, name: outer });
    }
  }
  const outputs = request.outputs.map((output) => tensorOf(tensors, output, name));
  return { ...(request.id && { id: request.id }), model_name: name, model_version: version, outputs };
}

function tensorOf(tensors: ReadonlyMap<string, Tensor>, name: string, ensemble: string): Tensor {
  const tensor = tensors.get(name);
  if (tensor) return tensor;
  throw new TritonError(
    'INVALID_ARG',
    `in ensemble '${ensemble}', tensor '${name}' is not produced by any step`,
  );
}
