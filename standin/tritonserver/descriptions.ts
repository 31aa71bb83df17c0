import { fullShape, httpDatatype } from './inference.js';
import type { ModelConfig } from './model-config.js';
import type { ServedModel } from './served-model.js';

/** What `GET /v2` answers: nobody may take the stand-in for the real thing. */
export const SERVER_METADATA = {
  name: 'triton-standin',
  version: '0.0.0-standin',
  extensions: [
    'model_repository',
    'model_repository(unload_dependents)',
    'model_configuration',
    'parameters',
    'statistics',
  ],
} as const;

/** Model metadata: `GET /v2/models/{m}`. */
export function modelMetadata(model: ServedModel): object {
  const { config } = model;
  const tensors = (list: ModelConfig['input']): object[] =>
    list.map((tensor) => ({
      name: tensor.name,
      datatype: httpDatatype(tensor.data_type),
      shape: fullShape(config, tensor),
    }));
  return {
    name: config.name,
    versions: model.versions,
    platform: config.platform || config.backend,
    inputs: tensors(config.input),
    outputs: tensors(config.output),
  };
}

/** Model statistics: `GET /v2/models/{m}/stats`. */
export function modelStatistics(models: readonly ServedModel[]): object {
  return {
    model_stats: models.flatMap((model) =>
      model.versions.map((version) => versionStatistics(model, version)),
    ),
  };
}

function versionStatistics(model: ServedModel, version: string): object {
  const { success, failure, requestNs, queueNs, inferNs, lastInference } = model.statistics;
  const none = { count: 0, ns: 0 };
  return {
    name: model.name,
    version,
    last_inference: lastInference,
    inference_count: success,
    execution_count: success,
    inference_stats: {
      success: { count: success, ns: requestNs },
      fail: { count: failure, ns: 0 },
      queue: { count: success, ns: queueNs },
      compute_input: { count: success, ns: 0 },
      compute_infer: { count: success, ns: inferNs },
      compute_output: { count: success, ns: 0 },
      cache_hit: none,
      cache_miss: none,
    },
    response_stats: {},
    batch_stats: [],
    memory_usage: [],
  };
}
