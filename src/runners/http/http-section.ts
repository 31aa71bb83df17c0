import * as z from 'zod';
import {
  byteSize,
  drainSeconds,
  gpuMemoryMb,
  gpuPolicy,
  modelLiveness,
  safeName,
  whenValid,
} from '../../config/sections/common.js';
import {
  placementServerKeys,
  serverEnv,
  serverMounts,
  serverPorts,
} from '../placement-server/placement-server-section.js';
import { nearest } from '../../common/nearest.js';
import { MAIN_PORT } from '../placement-server/server-ports.js';
import { assignmentFaults } from '../decided.js';
import { placeFaults } from './http-decided.js';
import { httpOptions } from './http-options.js';
import { insteadOf, portFaults, portNames } from './http-ports.js';
import { LAUNCH_PLACEHOLDERS, OPTION_PREFIX, placeholdersIn, PORT_PREFIX } from './http-template.js';

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
  ports: portNames
    .default([])
    .describe(
      'Names of further ports of its server: {port.NAME} is one in args and env, as {port} is the main one, http.',
    ),
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
  health_port: z.string().optional().describe('Name of the port that health_path is on; http unless said.'),
  health_json: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
    .optional()
    .describe('Keys that the JSON of that answer must have, with these values.'),
  drain: z
    .strictObject({
      path: urlPath.describe('Where the metrics are, in the text format of Prometheus.'),
      port: z.string().optional().describe('Name of the port that it is on; http unless said.'),
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

/** What is no text has a fault of its own, and holds no placeholder. */
const text = z.unknown().transform((value) => (typeof value === 'string' ? value : ''));
const portName = z.string().optional().catch(undefined);

/** What of a model the rules below are about: they are applied whatever else of it is wrong. */
const modelParts = z.object({
  launcher: z.string().optional(),
  image_name: z.unknown().optional(),
  command: z.array(text).optional(),
  args: z.array(text),
  ports: z.array(text),
  env: z.record(z.string(), text),
  options: z.record(z.string(), z.unknown()),
  health_port: portName,
  drain: z.object({ port: portName }).optional().catch(undefined),
});

/** What a model takes from the section. A range that is not valid is no narrow one. */
const withModels = z.object({
  launcher: z.unknown(),
  image_name: z.unknown(),
  ports: z.object({ from: z.number(), to: z.number() }).catch({ from: 1, to: 65_535 }),
  models: z.record(z.string(), z.unknown()),
});

export const httpSection = z
  .strictObject(placementServerKeys)
  .omit({ supported_models: true })
  .extend({
    ports: serverPorts.describe(
      'Ports for the servers, one each and one more for each that a model names; below 32768, and of no other backend.',
    ),
    models: z.record(safeName, httpModel).describe('The models of this backend, and how each is served.'),
  })
  .superRefine((section, context) => {
    const { models, ...common } = withModels.parse(section);
    for (const [name, given] of Object.entries(models)) {
      const model = modelParts.safeParse(given).data;
      for (const [path, message] of model ? faultsOf(model, common) : []) {
        context.addIssue({ code: 'custom', path: ['models', name, ...path], message });
      }
    }
  }, whenValid(withModels))
  .transform((section) => ({ ...section, supported_models: Object.keys(section.models) }));

export type HttpConfig = z.infer<typeof httpSection>;

type Fault = readonly [path: readonly (string | number)[], message: string];

type ModelParts = z.infer<typeof modelParts>;
type Section = Omit<z.infer<typeof withModels>, 'models'>;

function faultsOf(model: ModelParts, section: Section): Fault[] {
  const faults: Fault[] = [];
  const launcher = model.launcher ?? section.launcher;
  if (launcher === 'docker' && model.image_name === undefined && section.image_name === null)
    faults.push([['image_name'], 'docker needs an image']);
  if (launcher === 'process' && !model.command)
    faults.push([['command'], 'the launcher "process" needs a command']);
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
    ...[MAIN_PORT, ...model.ports].map((name) => `${PORT_PREFIX}${name}`),
    ...Object.keys(model.options).map((option) => `${OPTION_PREFIX}${option}`),
  ] as readonly string[];
  const templates: Fault[] = [
    ...model.args.map((text, index): Fault => [['args', index], text]),
    ...Object.entries(model.env).map(([key, text]): Fault => [['env', key], text]),
  ];
  for (const [path, text] of templates) {
    for (const name of placeholdersIn(text).filter((each) => !known.includes(each))) {
      const near = nearestPlaceholder(name, known);
      const instead = insteadOf(near && inBraces(near), known.map(inBraces));
      faults.push([path, `${inBraces(name)} is unknown: ${instead}`]);
    }
  }
  const use = {
    ports: model.ports,
    templates: templates.map(([, text]) => text),
    references: [
      [['health_port'], model.health_port],
      [['drain', 'port'], model.drain?.port],
    ],
    range: section.ports,
  } as const;
  return [...faults, ...portFaults(use)];
}

/** The placeholder that may be meant by an unknown one: its prefix may be missing. */
function nearestPlaceholder(name: string, known: readonly string[]): string | undefined {
  return known.find((each) => each.endsWith(`.${name}`)) ?? nearest(name, known);
}

function inBraces(name: string): string {
  return `{${name}}`;
}
