import * as z from 'zod';
import type { BackendSection, SectionsOf } from './backend-section.js';
import { portOverlaps } from './port-overlaps.js';
import { whenValid } from './sections/common.js';

/** The models of a backend are the keys of `models`, where it has that, or listed. */
const catalog = z.union([
  z
    .object({ models: z.record(z.string(), z.unknown()) })
    .transform(({ models }) => Object.keys(models).map((model) => ({ model, path: ['models', model] }))),
  z
    .object({ supported_models: z.array(z.string()) })
    .transform(({ supported_models: models }) =>
      models.map((model, index) => ({ model, path: ['supported_models', index] })),
    ),
]);

type CatalogEntries = z.infer<typeof catalog>;

function modelsOf(section: unknown): CatalogEntries {
  return catalog.safeParse(section).data ?? [];
}

const anySections = z.record(z.string(), z.unknown());
const switchedOff = z.object({ enabled: z.literal(false) });

function sectionsOf<Backends extends readonly BackendSection[]>(backends: Backends): SectionsOf<Backends> {
  const sections = backends.map(({ name, section }) => [name, section] as const);
  // `fromEntries` forgets which name has which section.
  return Object.fromEntries(sections) as SectionsOf<Backends>;
}

/** Those that are offered, and have models. */
export function sectionsInUse(
  backends: readonly BackendSection[],
  sections: unknown,
): (readonly [BackendSection, section: unknown])[] {
  const given = anySections.safeParse(sections).data ?? {};
  return backends
    .map((backend) => [backend, given[backend.name]] as const)
    .filter(([, section]) => !switchedOff.safeParse(section).success && modelsOf(section).length > 0);
}

/** The key `runners`: one section per backend. A model has one backend, and a port has one key. */
export function runnersSchemaOf<const Backends extends readonly BackendSection[]>(backends: Backends) {
  return z
    .strictObject(sectionsOf(backends))
    .superRefine((sections, context) => {
      const owner = new Map<string, string>();
      for (const [backend, section] of Object.entries(anySections.parse(sections))) {
        for (const { model, path } of modelsOf(section)) {
          const other = owner.get(model);
          if (other !== undefined) {
            context.addIssue({
              code: 'custom',
              path: [backend, ...path],
              message: `${model} already belongs to ${other}: a model has exactly one backend`,
            });
          }
          owner.set(model, backend);
        }
      }
    }, whenValid(anySections))
    .superRefine((sections, context) => {
      const given = anySections.parse(sections);
      for (const { name, modelSettings: { key, defaultEntry } = {} } of backends) {
        for (const { model, path } of modelsOf(given[name])) {
          if (defaultEntry === undefined || model !== defaultEntry) continue;
          const message = `${model} is a reserved name: in ${key} it stands for all models`;
          context.addIssue({ code: 'custom', path: [name, ...path], message });
        }
      }
    }, whenValid(anySections))
    .superRefine((sections, context) => {
      for (const { path, message } of portOverlaps(sectionsInUse(backends, sections))) {
        context.addIssue({ code: 'custom', path, message });
      }
    }, whenValid(anySections));
}
