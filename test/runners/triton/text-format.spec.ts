import fc from 'fast-check';
import {
  parseTextFormat,
  TextFormatError,
  type Message,
  type Value,
} from '../../../src/runners/triton/text-format.js';

type Plain = string | number | Plain[][];

/** `[name, value]` pairs, which are easier to compare. */
function plain(message: Message): [string, Plain][] {
  return message.map((field) => [field.name, plainValue(field.value)]);
}

function plainValue(value: Value): Plain {
  if (value.kind === 'message') return plain(value.message);
  return value.kind === 'number' ? value.value : value.text;
}

describe('protobuf text format', () => {
  it.each<[string, string, [string, Plain][]]>([
    ['nothing', ' \n # only a comment', []],
    [
      'scalars',
      'a: 1 b: "x" c: KIND_GPU',
      [
        ['a', 1],
        ['b', 'x'],
        ['c', 'KIND_GPU'],
      ],
    ],
    [
      'separators',
      'a: 1, b: 2; c: 3',
      [
        ['a', 1],
        ['b', 2],
        ['c', 3],
      ],
    ],
    ['a message', 'a { b: 1 }', [['a', [['b', 1]]]]],
    ['a message after a colon', 'a: { b: 1 }', [['a', [['b', 1]]]]],
    ['a message in angle brackets', 'a < b: 1 >', [['a', [['b', 1]]]]],
    [
      'a list of scalars',
      'a: [ 1, 2 ]',
      [
        ['a', 1],
        ['a', 2],
      ],
    ],
    ['an empty list', 'a: [] b: 1', [['b', 1]]],
    [
      'a list of messages',
      'a [ { b: 1 }, { c: 2 } ]',
      [
        ['a', [['b', 1]]],
        ['a', [['c', 2]]],
      ],
    ],
    ['a list of messages after a colon', 'a: [ { b: 1 } ]', [['a', [['b', 1]]]]],
    [
      'comments',
      'a: 1 # b: 2\n#c\nd: 3',
      [
        ['a', 1],
        ['d', 3],
      ],
    ],
    ['adjacent strings', `a: "x" 'y'\n"z"`, [['a', 'xyz']]],
    ['a comment sign in a string', 'a: "# x"', [['a', '# x']]],
    ['escapes', String.raw`a: "\n\t\"\\\x41\101\u00e9"`, [['a', '\n\t"\\AAé']]],
    [
      'numbers',
      'a: -1 b: 0x1F c: 017 d: 1.5e3 e: .5 f: 2f',
      [
        ['a', -1],
        ['b', 31],
        ['c', 15],
        ['d', 1500],
        ['e', 0.5],
        ['f', 2],
      ],
    ],
    ['infinity', 'a: -inf', [['a', '-inf']]],
  ])('reads %s', (_, text, expected) => {
    expect(plain(parseTextFormat(text))).toEqual(expected);
  });

  it.each([
    ['a value that is missing', 'a:', '1:3: Expected a value, got: end of text'],
    ['a message that is open', 'a {\n  b: 1', '2:7: Expected identifier, got: end of text'],
    ['a list that is open', 'a: [ 1', '1:7: Expected "]", found end of text.'],
    ['a comma at the end of a list', 'a: [ 1, ]', '1:9: Expected a value, got: "]"'],
    ['a scalar without a colon', 'a 1', '1:3: Expected ":", found "1".'],
    ['a stray bracket', 'a: 1 }', '1:6: Expected identifier, got: "}"'],
    ['a string over two lines', 'a: "x\ny"', '1:4: String literals cannot cross line boundaries.'],
    ['an unknown escape', String.raw`a: "\q"`, '1:4: Invalid escape sequence in string literal.'],
    ['a character of no token', 'a: $', '1:4: Invalid character: "$"'],
    ['a number that runs into a word', 'a: 1x', '1:4: Need space between number and identifier.'],
    ['a sign before a string', 'a: -"x"', '1:5: Expected a value, got: "x"'],
  ])('refuses %s, and says where', (_, text, message) => {
    expect(() => parseTextFormat(text)).toThrow(TextFormatError);
    expect(() => parseTextFormat(text)).toThrow(message);
  });

  it('refuses what is nested deeper than protobuf allows, without running out of stack', () => {
    expect(() => parseTextFormat('a {'.repeat(100_000))).toThrow('Message is too deep.');
  });

  // The largest template, of what is the worst for each pattern.
  const SIZE = 256 * 1024;
  it.each([
    ['blanks', ' '],
    ['comments', '#\n'],
    ['one comment', '#'],
    ['digits that run into a word', '1', 'x'],
    ['digits after the point', '1.', '1'.repeat(SIZE), 'x'],
    ['an open string', '\\a', '', 'a: "'],
    ['an open string of quotes', "'", '', 'a: "'],
    ['adjacent strings', '"x"', '', 'a: '],
    ['one name', 'a'],
    ['fields', 'a:1 '],
    ['messages', 'a{}'],
    ['a list', '1,', '1]', 'a: ['],
    ['open lists', '['],
    ['open messages', 'a{'],
    ['lines', '\n'],
  ])('is read, or refused, in time: %s', (_name, part, after = '', before = '') => {
    const text = before + part.repeat(Math.ceil(SIZE / part.length)) + after;
    const begun = performance.now();
    try {
      parseTextFormat(text);
    } catch (error) {
      expect(error).toBeInstanceOf(TextFormatError);
    }
    expect(performance.now() - begun).toBeLessThan(2000);
  });

  it('either reads a text or says where it is wrong, whatever it holds', () => {
    const words = fc.constantFrom(
      'a',
      ':',
      '{',
      '}',
      '[',
      ']',
      '<',
      '>',
      '"x"',
      "'",
      '"',
      '1',
      '-',
      ',',
      '#',
      '\n',
      ' ',
      '\\',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(words).map((list) => list.join('')),
        ),
        (text) => {
          try {
            parseTextFormat(text);
          } catch (error) {
            expect(error).toBeInstanceOf(TextFormatError);
          }
        },
      ),
    );
  });
});
