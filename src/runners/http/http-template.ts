/** What a launch knows besides the options of a start. */
export const LAUNCH_PLACEHOLDERS = ['port', 'host', 'model', 'gpu_id', 'gpu_uuid'] as const;

export type LaunchPlaceholder = (typeof LAUNCH_PLACEHOLDERS)[number];

/** Begins the placeholder of an option: `{option.ctx_size}`. */
export const OPTION_PREFIX = 'option.';

/** Begins the placeholder of a port by its name: `{port.grpc}`. */
export const PORT_PREFIX = 'port.';

/** `{name}`; any other brace, as of JSON, is text. */
const PLACEHOLDER = /\{([A-Za-z_][A-Za-z0-9_.]*)\}/g;

/** The names in braces, in order. */
export function placeholdersIn(template: string): string[] {
  return [...template.matchAll(PLACEHOLDER)].map(([, name = '']) => name);
}

/**
 * The template with every placeholder replaced, in one pass: braces in a value stay text. What comes out is one argument,
 * or the value of one variable, whatever it holds; no shell ever sees it.
 * @throws RangeError for a name without a value
 */
export function fillTemplate(template: string, values: ReadonlyMap<string, string>): string {
  return template.replace(PLACEHOLDER, (_all, name: string) => {
    const value = values.get(name);
    if (value === undefined) throw new RangeError(`no value for {${name}}`);
    return value;
  });
}
