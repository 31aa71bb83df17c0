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
export class TextFormatError extends Error {
  override readonly name = 'TextFormatError';

  constructor(at: Position, problem: string) {
    super(`${at.line}:${at.column}: ${problem}`);
  }
}

const BLANK = /(?:[\s]+|#[^\n]*)+/y;
const IDENTIFIER = /[A-Za-z_]\w*/y;
const NUMBER = /(?:0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[fF]?)(?!\w)/y;
const STRING = /"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*'/y;
const SYMBOL = /[{}[\]<>:,;-]/y;
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

/** Splits a text into tokens, the last of which is `end`. Throws TextFormatError. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const lineStarts = startsOfLines(text);
  let line = 0;
  let offset = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = offset;
    return pattern.exec(text)?.[0];
  };
  for (;;) {
    offset += take(BLANK)?.length ?? 0;
    while ((lineStarts[line + 1] ?? Infinity) <= offset) line += 1;
    const at = { line: line + 1, column: offset - (lineStarts[line] ?? 0) + 1 };
    if (offset >= text.length) {
      tokens.push({ kind: 'end', text: '', at });
      return tokens;
    }
    const token = nextToken(take, at);
    if (!token) throw new TextFormatError(at, problemAt(text.charAt(offset)));
    tokens.push(token.token);
    offset += token.length;
  }
}

function nextToken(
  take: (pattern: RegExp) => string | undefined,
  at: Position,
): { token: Token; length: number } | undefined {
  const kinds = [
    ['identifier', IDENTIFIER],
    ['number', NUMBER],
    ['string', STRING],
    ['symbol', SYMBOL],
  ] as const;
  for (const [kind, pattern] of kinds) {
    const raw = take(pattern);
    if (raw === undefined) continue;
    return { token: { kind, text: kind === 'string' ? unquote(raw, at) : raw, at }, length: raw.length };
  }
  return undefined;
}

function problemAt(character: string): string {
  if (character === '"' || character === "'") return 'String literals cannot cross line boundaries.';
  if (/\d/.test(character)) return 'Need space between number and identifier.';
  return `Invalid character: ${JSON.stringify(character)}`;
}

function startsOfLines(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
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
