import type { ServedModel } from './served-model.js';

interface Metric {
  name: string;
  type: 'counter' | 'gauge';
  help: string;
  value: (model: ServedModel) => number;
  /** Further labels, ready to print. */
  labels?: string;
}

const micros = (ns: number): number => Math.round(ns / 1000);

const METRICS: readonly Metric[] = [
  {
    name: 'nv_inference_request_success',
    type: 'counter',
    help: 'Number of successful inference requests, all batch sizes',
    value: (model) => model.statistics.success,
  },
  {
    name: 'nv_inference_request_failure',
    type: 'counter',
    help: 'Number of failed inference requests, all batch sizes',
    value: (model) => model.statistics.failure,
    labels: 'reason="OTHER",',
  },
  {
    name: 'nv_inference_count',
    type: 'counter',
    help: 'Number of inferences performed (does not include cached requests)',
    value: (model) => model.statistics.success,
  },
  {
    name: 'nv_inference_exec_count',
    type: 'counter',
    help: 'Number of model executions performed (does not include cached requests)',
    value: (model) => model.statistics.success,
  },
  {
    name: 'nv_inference_request_duration_us',
    type: 'counter',
    help: 'Cumulative inference request duration in microseconds (includes cached requests)',
    value: (model) => micros(model.statistics.requestNs),
  },
  {
    name: 'nv_inference_queue_duration_us',
    type: 'counter',
    help: 'Cumulative inference queuing duration in microseconds (includes cached requests)',
    value: (model) => micros(model.statistics.queueNs),
  },
  {
    name: 'nv_inference_compute_infer_duration_us',
    type: 'counter',
    help: 'Cumulative compute inference duration in microseconds (does not include cached requests)',
    value: (model) => micros(model.statistics.inferNs),
  },
  {
    name: 'nv_inference_pending_request_count',
    type: 'gauge',
    help: 'Instantaneous number of pending requests awaiting execution per-model.',
    value: (model) => model.pending,
  },
  {
    name: 'nv_model_load_duration_secs',
    type: 'gauge',
    help: 'Model load time in seconds',
    value: (model) => model.loadSeconds,
  },
];

/** The Prometheus text of `GET /metrics`. It has no `nv_gpu_…`: the stand-in uses no GPU. */
export function metricsText(models: readonly ServedModel[]): string {
  const lines = METRICS.flatMap(({ name, type, help, value, labels = '' }) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...models.flatMap((model) =>
      model.versions.map(
        (version) =>
          `${name}{model=${JSON.stringify(model.name)},${labels}version="${version}"} ${value(model)}`,
      ),
    ),
  ]);
  return `${lines.join('\n')}\n`;
}
