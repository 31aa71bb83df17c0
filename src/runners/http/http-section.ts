import { z } from 'zod';
import {
  byteSize,
  drainSeconds,
  gpuMemoryMb,
  gpuPolicy,
  modelLiveness,
  safeName,
} from '../../config/sections/common.js';
import {
  placementServerKeys,
  serverEnv,
  serverMounts,
} from '../placement-server/placement-server-section.js';
import { assignmentFaults } from '../decided.js';
import { placeFaults } from './http-decided.js';
import { httpOptions } from './http-options.js';
import { LAUNCH_PLACEHOLDERS, OPTION_PREFIX, placeholdersIn } from './http-template.js';

const argument = z.string().regex(/^[^\0]*$/, 'text without NUL');
const urlPath = z.string().regex(/^\/[\x21-\x7e]*$/, 'a path that begins with "/", of printable ASCII');
const metricName = z.string().regex(/^[A-Za-z_:][A-Za-z0-9_:]*$/, 'the name of a metric');

const httpModel = z.strictObject({
  launcher: placementServerKeys.launcher.optional(),
  image_name: z.string().min(1).optional(),
  pull: placementServerKeys.pull.unwrap().optional(),
  command: z
    .array(argument.min(1))
    .min(1)
    .optional()
    .describe("The program and its first arguments; with an image, in place of the image's own entry point."),
  args: z.array(argument).default([]).describe('Arguments with placeholders, one list item each.'),
  env: serverEnv.default({}).describe('Laid over the environment of the section; values with placeholders.'),
  mounts: serverMounts.optional(),
  shm_size: byteSize.optional(),
  memory_limit: byteSize.optional(),
  device: placementServerKeys.device.unwrap().optional(),
  start_timeout_seconds: placementServerKeys.start_timeout_seconds.optional(),
  stop_grace_seconds: placementServerKeys.stop_grace_seconds.optional(),
  stop_signal: z.enum(['SIGTERM', 'SIGINT']).optional().describe('What asks the server to end.'),
  health_path: urlPath.describe('GET of it is 200 to 299 when the model serves.'),
  health_json: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
    .optional()
    .describe('Keys that the JSON of that answer must have, with these values.'),
  drain: z
    .strictObject({
      path: urlPath.describe('Where the metrics are, in the text format of Prometheus.'),
      metrics: z.array(metricName).min(1).describe('Gauges that add up to the open requests.'),
      finished_metrics: z.array(metricName).optional().describe('Counters of the requests that are done.'),
    })
    .optional(),
  drain_seconds: drainSeconds.describe('Time requests get before a stop that does not say itself.'),
  gpu_memory_mb: gpuMemoryMb.describe('Memory of one placement, MiB.'),
  gpu_policy: gpuPolicy.optional().describe('exclusive: the model has its GPU to itself.'),
  liveness: modelLiveness.describe(
    'How long the requests of the model may take; looked at where drain names metrics and finished_metrics.',
  ),
  options: httpOptions.default({}).describe('What StartRequest.config may hold.'),
});

export type HttpModel = z.infer<typeof httpModel>;

export const httpSection = z
  .strictObject(placementServerKeys)
  .omit({ supported_models: true })
  .extend({
    models: z.record(safeName, httpModel).describe('The models of this backend, and how each is served.'),
  })
  .superRefine(({ launcher, image_name: image, models }, context) => {
    for (const [name, model] of Object.entries(models)) {
      for (const [path, message] of faultsOf(model, launcher, image)) {
        context.addIssue({ code: 'custom', path: ['models', name, ...path], message });
      }
    }
  })
  .transform((section) => ({ ...section, supported_models: Object.keys(section.models) }));

export type HttpConfig = z.infer<typeof httpSection>;

type Fault = readonly [path: (string | number)[], message: string];

function faultsOf(model: HttpModel, launcher: string, image: string | null): Fault[] {
  const faults: Fault[] = [];
  if ((model.launcher ?? launcher) === 'docker') {
    if (model.image_name === undefined && image === null)
      faults.push([['image_name'], 'docker needs an image']);
  } else if (!model.command) faults.push([['command'], 'the launcher "process" needs a command']);
  for (const [index, text] of (model.command ?? []).entries()) {
    if (placeholdersIn(text).length > 0) faults.push([['command', index], 'placeholders belong in args']);
  }
  const items = [...(model.command ?? []), ...model.args];
  for (const { key, message } of [...placeFaults(items), ...assignmentFaults(items)]) {
    const index = Number(key);
    const ofCommand = model.command?.length ?? 0;
    faults.push([index < ofCommand ? ['command', index] : ['args', index - ofCommand], message]);
  }
  const known = [
    ...LAUNCH_PLACEHOLDERS,
    ...Object.keys(model.options).map((option) => `${OPTION_PREFIX}${option}`),
  ] as readonly string[];
  const templates: Fault[] = [
    ...model.args.map((text, index): Fault => [['args', index], text]),
    ...Object.entries(model.env).map(([key, text]): Fault => [['env', key], text]),
  ];
  for (const [path, text] of templates) {
    for (const name of placeholdersIn(text).filter((each) => !known.includes(each))) {
      faults.push([path, `{${name}} is unknown: there are ${known.map((each) => `{${each}}`).join(', ')}`]);
    }
  }
  return faults;
}
