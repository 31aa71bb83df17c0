/** Where something stands in a text: both count from 1, as protobuf's own messages do. */
export interface Position {
  line: number;
  column: number;
}

/** One word of protobuf text format. A string's `text` is decoded; any other's is as written. */
export interface Token {
  kind: 'identifier' | 'number' | 'string' | 'symbol' | 'end';
  text: string;
  at: Position;
}

/** A text that isn't protobuf text format, or doesn't fit the message it should hold. */
export class TextFormatError extends SyntaxError {
  override readonly name = 'TextFormatError';

  /** @param open what the text begins and does not end */
  constructor(
    readonly at: Position,
    problem: string,
    readonly open?: 'a string' | 'a bracket',
  ) {
    super(`${at.line}:${at.column}: ${problem}`);
  }
}

// Each takes a text in linear time: no part of one can match what the part before it could give back.
const BLANK = /(?:[ \t\n\r\v\f]|#[^\n]*)*/y;
const IDENTIFIER = /[A-Za-z_]\w*/y;
const NUMBER = /0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[fF]?/y;
const WORD = /\w/;
const STRING = /"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"|'[^'\\\n]*(?:\\[^\n][^'\\\n]*)*'/y;
const SYMBOLS = '{}[]<>:,;-';
const ESCAPE = /\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/g;
const CONTROL: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Takes a text apart, word by word. */
export class Lexer {
  private offset = 0;
  private line = 1;
  private lineStart = 0;

  constructor(private readonly text: string) {}

  /** The next word; `end` after the last, as often as it is asked for. @throws TextFormatError */
  next(): Token {
    this.passBlanks();
    const at = { line: this.line, column: this.offset - this.lineStart + 1 };
    if (this.offset >= this.text.length) return { kind: 'end', text: '', at };
    const first = this.text.charAt(this.offset);
    if (SYMBOLS.includes(first)) {
      this.offset += 1;
      return { kind: 'symbol', text: first, at };
    }
    for (const [kind, pattern] of KINDS) {
      const raw = this.take(pattern);
      if (raw === undefined) continue;
      this.offset += raw.length;
      if (kind === 'number' && WORD.test(this.text.charAt(this.offset))) break;
      return { kind, text: kind === 'string' ? unquote(raw, at) : raw, at };
    }
    throw problemAt(at, first);
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.offset;
    return pattern.exec(this.text)?.[0];
  }

  /** Of blanks alone: no other word has the end of a line in it. */
  private passBlanks(): void {
    const raw = this.take(BLANK) ?? '';
    for (let at = raw.indexOf('\n'); at !== -1; at = raw.indexOf('\n', at + 1)) {
      this.line += 1;
      this.lineStart = this.offset + at + 1;
    }
    this.offset += raw.length;
  }
}

const KINDS = [
  ['identifier', IDENTIFIER],
  ['number', NUMBER],
  ['string', STRING],
] as const;

function problemAt(at: Position, character: string): TextFormatError {
  if (character === '"' || character === "'")
    return new TextFormatError(at, 'String literals cannot cross line boundaries.', 'a string');
  const problem = /\d/.test(character)
    ? 'Need space between number and identifier.'
    : `Invalid character: ${JSON.stringify(character)}`;
  return new TextFormatError(at, problem);
}

function unquote(raw: string, at: Position): string {
  return raw.slice(1, -1).replace(ESCAPE, (...groups: (string | undefined)[]) => {
    const [, hex, octal, short, long, plain = ''] = groups;
    const code = hex ?? short ?? long;
    if (code !== undefined || octal !== undefined) {
      const point = code === undefined ? Number.parseInt(octal ?? '', 8) : Number.parseInt(code, 16);
      if (point > 0x10ffff) throw new TextFormatError(at, 'Invalid Unicode code point in string literal.');
      return String.fromCodePoint(point);
    }
    const control = CONTROL[plain];
    if (control !== undefined) return control;
    if (`\\'"?`.includes(plain)) return plain;
    throw new TextFormatError(at, 'Invalid escape sequence in string literal.');
  });
}
