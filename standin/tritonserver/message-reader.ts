import {
  type Field,
  type Message,
  TextFormatError,
  type Value,
} from '../../src/runners/triton/text-format.js';

/** JSON of a message whose schema nobody here knows: names as written, repeated fields as arrays. */
export type Json = string | number | boolean | Json[] | { [key: string]: Json };

/** Takes typed fields out of a message, in protobuf's manner: absent means the type's default. */
export class MessageReader {
  constructor(
    private readonly message: Message,
    typeName: string,
    known: ReadonlySet<string>,
  ) {
    const stranger = message.find((field) => !known.has(field.name));
    if (stranger) {
      throw new TextFormatError(
        stranger.at,
        `Message type "inference.${typeName}" has no field named "${stranger.name}".`,
      );
    }
  }

  has(name: string): boolean {
    return this.message.some((field) => field.name === name);
  }

  string(name: string): string {
    const field = this.single(name);
    return field ? stringOf(field) : '';
  }

  integer(name: string): number {
    const field = this.single(name);
    return field ? integerOf(field) : 0;
  }

  boolean(name: string): boolean {
    const field = this.single(name);
    if (!field) return false;
    const text = field.value.kind === 'identifier' || field.value.kind === 'number' ? field.value.text : '';
    if (['true', 'True', 't', '1'].includes(text)) return true;
    if (['false', 'False', 'f', '0'].includes(text)) return false;
    throw mismatch(field, 'boolean');
  }

  /** One of `values`; the first of them where the field is absent. */
  enumeration<T extends string>(name: string, values: readonly [T, ...T[]]): T {
    const field = this.single(name);
    if (!field) return values[0];
    const found =
      field.value.kind === 'identifier'
        ? values.find((value) => value === (field.value as { text: string }).text)
        : undefined;
    if (found === undefined) {
      throw new TextFormatError(
        field.at,
        `Unknown enumeration value of "${textOf(field.value)}" for field "${name}".`,
      );
    }
    return found;
  }

  strings(name: string): string[] {
    return this.all(name).map(stringOf);
  }

  integers(name: string): number[] {
    return this.all(name).map(integerOf);
  }

  messages(name: string): Message[] {
    return this.all(name).map((field) => {
      if (field.value.kind !== 'message') throw mismatch(field, 'message');
      return field.value.message;
    });
  }

  /** A `map<string, …>`: entries of `key` and `value`. */
  map(name: string): Record<string, Json> {
    const entries = this.messages(name).map((entry) => {
      const key = entry.find((field) => field.name === 'key');
      const value = entry.find((field) => field.name === 'value');
      return [key ? stringOf(key) : '', value ? jsonOf(value.value) : {}] as const;
    });
    return Object.fromEntries(entries);
  }

  /** A message in JSON, or undefined where the field is absent. */
  json(name: string): Json | undefined {
    const values = this.all(name).map((field) => jsonOf(field.value));
    return values.length > 1 ? values : values[0];
  }

  private all(name: string): Field[] {
    return this.message.filter((field) => field.name === name);
  }

  private single(name: string): Field | undefined {
    const [first, second] = this.all(name);
    if (second) {
      throw new TextFormatError(second.at, `Non-repeated field "${name}" is specified multiple times.`);
    }
    return first;
  }
}

function jsonOf(value: Value): Json {
  if (value.kind === 'number') return value.value;
  if (value.kind !== 'message')
    return value.text === 'true' ? true : value.text === 'false' ? false : value.text;
  const json: Record<string, Json> = {};
  for (const name of new Set(value.message.map((field) => field.name))) {
    const values = value.message.filter((field) => field.name === name).map((field) => jsonOf(field.value));
    json[name] = values.length === 1 ? (values[0] ?? values) : values;
  }
  return json;
}

function stringOf(field: Field): string {
  if (field.value.kind === 'string') return field.value.text;
  throw mismatch(field, 'string');
}

function integerOf(field: Field): number {
  if (field.value.kind === 'number' && Number.isInteger(field.value.value)) return field.value.value;
  throw mismatch(field, 'integer');
}

function mismatch(field: Field, expected: string): TextFormatError {
  return new TextFormatError(
    field.at,
    `Expected ${expected} for "${field.name}", got: ${textOf(field.value)}`,
  );
}

function textOf(value: Value): string {
  return value.kind === 'message' ? '{' : value.text;
}
