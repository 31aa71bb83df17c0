import { Lexer, type Position, TextFormatError, type Token } from './text-format-lexer.js';

export { TextFormatError } from './text-format-lexer.js';

/** A field's value: a nested message, or a scalar as it was written. */
export type Value =
  | { kind: 'message'; message: Message }
  | { kind: 'string'; text: string }
  | { kind: 'number'; text: string; value: number }
  | { kind: 'identifier'; text: string };

/** One field of a message. A repeated field stands once for each of its values. */
export interface Field {
  name: string;
  value: Value;
  at: Position;
}

/** The fields of a message, in the order written. */
export type Message = readonly Field[];

/** As deep as protobuf's own parser goes. */
const MAX_DEPTH = 100;

/**
 * Reads protobuf text format without a schema: `key: value`, `key { … }`, `key: { … }`, `key < … >`,
 * `key: [ … ]`, `key [ { … } ]`, adjacent strings, comments, `,` and `;` between fields.
 * The field names of Triton's messages are its own to judge.
 * Source: protobuf.dev, "Text Format Language Specification".
 * @throws TextFormatError
 */
export function parseTextFormat(text: string): Message {
  return new Parser(new Lexer(text)).parse();
}

class Parser {
  private token: Token;
  /** Brackets that are open. */
  private open = 0;

  constructor(private readonly lexer: Lexer) {
    this.token = lexer.next();
  }

  parse(): Message {
    return this.fieldsUntil(undefined, 0);
  }

  private fieldsUntil(close: string | undefined, depth: number): Message {
    if (depth > MAX_DEPTH) this.fail('Message is too deep.');
    const fields: Field[] = [];
    for (;;) {
      if (close === undefined ? this.token.kind === 'end' : this.accept(close)) return fields;
      for (const field of this.field(depth)) fields.push(field);
    }
  }

  private field(depth: number): Field[] {
    const name = this.token;
    if (name.kind !== 'identifier') this.fail(`Expected identifier, got: ${shown(name)}`);
    this.advance();
    const colon = this.accept(':');
    const values = this.accept('[') ? this.list(colon, depth) : [this.value(colon, depth)];
    if (!this.accept(',')) this.accept(';');
    return values.map((value) => ({ name: name.text, value, at: name.at }));
  }

  private list(colon: boolean, depth: number): Value[] {
    const values: Value[] = [];
    if (this.accept(']')) return values;
    do {
      values.push(this.value(colon, depth));
    } while (this.accept(','));
    this.expect(']');
    return values;
  }

  private value(colon: boolean, depth: number): Value {
    if (this.accept('{')) return { kind: 'message', message: this.fieldsUntil('}', depth + 1) };
    if (this.accept('<')) return { kind: 'message', message: this.fieldsUntil('>', depth + 1) };
    if (!colon) this.fail(`Expected ":", found ${shown(this.token)}.`);
    return this.scalar();
  }

  private scalar(): Value {
    const sign = this.accept('-') ? '-' : '';
    const { token } = this;
    if (token.kind === 'number') {
      this.advance();
      const text = sign + token.text;
      return { kind: 'number', text, value: (sign ? -1 : 1) * numberOf(token.text) };
    }
    if (token.kind === 'identifier') {
      this.advance();
      if (sign && !/^(inf|infinity|nan)$/i.test(token.text)) this.fail(`Invalid float number: ${token.text}`);
      return { kind: 'identifier', text: sign + token.text };
    }
    if (token.kind !== 'string' || sign) this.fail(`Expected a value, got: ${shown(token)}`);
    let text = '';
    while (this.token.kind === 'string') {
      text += this.token.text;
      this.advance();
    }
    return { kind: 'string', text };
  }

  private advance(): void {
    this.token = this.lexer.next();
  }

  private accept(symbol: string): boolean {
    const { token } = this;
    if (token.kind !== 'symbol' || token.text !== symbol) return false;
    if ('{[<'.includes(symbol)) this.open += 1;
    if ('}]>'.includes(symbol)) this.open -= 1;
    this.advance();
    return true;
  }

  private expect(symbol: string): void {
    if (!this.accept(symbol)) this.fail(`Expected "${symbol}", found ${shown(this.token)}.`);
  }

  private fail(problem: string): never {
    const { kind, at } = this.token;
    throw new TextFormatError(at, problem, kind === 'end' && this.open > 0 ? 'a bracket' : undefined);
  }
}

function shown(token: Token): string {
  return token.kind === 'end' ? 'end of text' : `"${token.text}"`;
}

function numberOf(text: string): number {
  if (/^0[xX]/.test(text)) return Number.parseInt(text.slice(2), 16);
  if (/^0[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  return Number.parseFloat(text);
}
