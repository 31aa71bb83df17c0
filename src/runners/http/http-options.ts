import { RE2JS } from 're2js';
import * as z from 'zod';

const MAX_LENGTH = 1024;

/** A text as an argument: on one line, without NUL, and not to be taken for a flag. */
const CONTROL = /[\p{Cc}\u2028\u2029]/u;

/** Of a pattern that only a matcher which goes back could match: with it, a start could hold up this service for ever. */
const NOT_LINEAR =
  'a regular expression of RE2: without look-around and back references, as those take unbounded time';

/** As RE2 has it, which matches in linear time whatever the pattern and the text are. @throws an Error */
function compiled(pattern: string): RE2JS {
  return RE2JS.compile(RE2JS.translateRegExp(pattern));
}

function compiles(compile: (pattern: string) => unknown): (pattern: string) => boolean {
  return (pattern) => {
    try {
      compile(pattern);
      return true;
    } catch {
      return false;
    }
  };
}

const numeric = { min: z.number().optional(), max: z.number().optional() };

const description = z.string().optional().describe('For people.');

const definition = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('integer'), ...numeric, default: z.int(), description }),
  z.strictObject({ type: z.literal('number'), ...numeric, default: z.number(), description }),
  z.strictObject({ type: z.literal('boolean'), default: z.boolean(), description }),
  z.strictObject({
    type: z.literal('string'),
    enum: z.array(z.string()).min(1).optional(),
    pattern: z
      .string()
      .refine(
        compiles((pattern) => new RegExp(pattern, 'u')),
        { message: 'a regular expression', abort: true },
      )
      .refine(compiles(compiled), { message: NOT_LINEAR, abort: true })
      .optional()
      .describe('Regular expression (RE2) that the whole value must match.'),
    allow_leading_dash: z.boolean().optional(),
    default: z.string(),
    description,
  }),
]);

export type HttpOption = z.infer<typeof definition>;

/** What a start may say for an option. A number below 0 needs a `min` below 0: it begins with a dash. */
export function httpOptionSchema(option: HttpOption): z.ZodType<string | number | boolean> {
  switch (option.type) {
    case 'integer':
    case 'number': {
      const base = option.type === 'integer' ? z.int() : z.number();
      const bounded = base.min(option.min ?? 0);
      return option.max === undefined ? bounded : bounded.max(option.max);
    }
    case 'boolean':
      return z.boolean();
    case 'string':
      return textSchema(option);
    default:
      return option satisfies never;
  }
}

function textSchema({ enum: allowed, pattern, allow_leading_dash: dash }: HttpOption & { type: 'string' }) {
  const whole = pattern === undefined ? undefined : compiled(pattern);
  return z
    .string()
    .max(MAX_LENGTH)
    .refine((text) => !CONTROL.test(text), 'must be one line without control characters')
    .refine((text) => dash === true || !text.startsWith('-'), 'must not begin with "-"')
    .refine((text) => !allowed || allowed.includes(text), `must be one of ${(allowed ?? []).join(', ')}`)
    .refine((text) => whole?.matches(text) !== false, `must match ${pattern ?? ''}`);
}

/** The options of a model's starts, by name, each with a default that is valid itself. */
export const httpOptions = z
  .record(z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/, 'letters, digits and "_"'), definition)
  .superRefine((options, context) => {
    for (const [name, option] of Object.entries(options)) {
      const result = httpOptionSchema(option).safeParse(option.default);
      for (const { message } of result.error?.issues ?? []) {
        context.addIssue({ code: 'custom', path: [name, 'default'], message });
      }
    }
  });
