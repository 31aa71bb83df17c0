const TENSOR = 'data_type: TYPE_FP32 dims: [ 4 ]';

/** A `config.pbtxt.template` that passes INPUT through `steps`, each of which maps INPUT to OUTPUT. */
export function ensembleTemplate(name: string, steps: readonly string[], maxBatchSize = 8): string {
  const tensors = ['INPUT', ...steps.slice(1).map((_, index) => `between_${index}`), 'OUTPUT'];
  const step = (model: string, index: number): string => `
    {
      model_name: "${model}"
      model_version: -1
      input_map { key: "INPUT" value: "${tensors[index] ?? ''}" }
      output_map { key: "OUTPUT" value: "${tensors[index + 1] ?? ''}" }
    }`;
  return `name: "${name}"
platform: "ensemble"
max_batch_size: ${maxBatchSize}
input [ { name: "INPUT" ${TENSOR} } ]
output [ { name: "OUTPUT" ${TENSOR} } ]
ensemble_scheduling {
  step [${steps.map(step).join(',')}
  ]
}
`;
}
