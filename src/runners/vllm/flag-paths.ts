import * as z from 'zod';
import type { HostPath } from '../../launchers/host-paths.js';
import { splitFlag } from './vllm-flags.js';

/** What a flag's value may name by a path. */
type Reader = (value: string) => readonly string[];

const whole: Reader = (value) => [value];

/** Flags whose value may be a path, or hold one; any other word in its place is an id of the hub, or a text. */
const READERS: ReadonlyMap<string, Reader> = new Map([
  ['--tokenizer', whole],
  ['--chat-template', whole],
  ['--generation-config', whole],
  ['--lora-modules', loraPath],
  ['--speculative-config', draftModel],
]);

/** What the arguments of a model name, path or not, each under its key: `<key>.<index>`. */
export function flagPaths(args: readonly string[], key: string): HostPath[] {
  return args.flatMap((argument, index) => {
    const [flag, value] = splitFlag(argument);
    const setting = `${key}.${value === undefined ? index + 1 : index}`;
    return (READERS.get(flag)?.(value ?? args[index + 1] ?? '') ?? []).map((path) => ({ path, setting }));
  });
}

function draftModel(json: string): readonly string[] {
  return fieldOf(
    json,
    z.object({ model: z.string() }).transform(({ model }) => model),
  );
}

/** `name=path`, or JSON: as vLLM takes them apart. */
function loraPath(item: string): readonly string[] {
  if (item.includes('=') && !item.includes(',')) return [item.slice(item.indexOf('=') + 1)];
  return fieldOf(
    item,
    z.object({ path: z.string() }).transform((it) => it.path),
  );
}

/** What is no such JSON, vLLM itself refuses. */
function fieldOf(json: string, schema: z.ZodType<string>): readonly string[] {
  try {
    const field = schema.safeParse(JSON.parse(json));
    return field.success ? [field.data] : [];
  } catch {
    return [];
  }
}
