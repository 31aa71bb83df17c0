/** One of some words; with `optional` at most one, with `many` any number of them. */
export interface Choice {
  readonly oneOf: readonly string[];
  readonly optional?: true;
  readonly many?: true;
}

/** What follows a flag: nothing, one value, at most one, any number of them, or words out of some. */
export type HelpOperand = 'none' | 'text' | 'optional' | 'any' | Choice;

/** The flags that an installed program has, with what follows each. */
export type InstalledFlags = ReadonlyMap<string, HelpOperand>;

/** A line of the list of options; what a description goes on with is indented further. */
const OPTION_LINE = /^ {2}(-{1,2}[A-Za-z].*)$/;

/** The flags in what a program with Python's argparse prints for `--help`; empty where it is no such text. */
export function flagsOfHelp(lines: readonly string[]): InstalledFlags {
  const from = lines.findIndex((line) => line.startsWith('usage: '));
  if (from === -1) return new Map();
  const rest = lines.slice(from);
  const end = rest.findIndex((line) => line.trim() === '');
  const usage = rest.slice(0, end === -1 ? undefined : end).join(' ');
  const listed = rest.flatMap((line) => optionsOf(OPTION_LINE.exec(line)?.[1] ?? ''));
  return new Map([...optionsOfUsage(usage), ...listed]);
}

type Option = readonly [flag: string, operand: HelpOperand];

/** `-n NNODES, --nnodes NNODES  Number of nodes`: names and operands end where two blanks follow. */
function optionsOf(line: string): Option[] {
  const [names = ''] = line.split(/ {2,}/);
  const found = names.split(/, (?=-)/).map((each): [string, string] => {
    const [flag = '', ...words] = each.split(' ');
    return [flag, words.join(' ')];
  });
  // Python 3.13 and later say what follows once, after the last name.
  const last = found.at(-1)?.[1] ?? '';
  return found
    .filter(([flag]) => flag.startsWith('--'))
    .map(([flag, words]) => [flag, operandOf(words === '' ? last : words)]);
}

/** `[--listen [IP]]`, or one of a group: `[--gpu-only | --highvram]`. */
function optionsOfUsage(usage: string): Option[] {
  return [...usage.matchAll(/(?<![\w-])(--[A-Za-z][\w.-]*)((?: +(?!-|\||\[-)[^\s|]+)*)/g)].map(
    ([, flag = '', words = '']) => [flag, operandOf(words.trim().replace(/^\]+|\]$/g, ''))],
  );
}

/** `{a,b}`, or `[{a,b}]` where it may be left out. */
const CHOICE = /^(\[)?\{([^\s{}]+)\}\]?$/;
/** As ComfyUI writes those of an enumeration, one of which there must be: `[none,auto]`. */
const ENUMERATION = /^\[([a-z0-9_.-]+(?:,[a-z0-9_.-]+)+)\]$/;

function operandOf(words: string): HelpOperand {
  if (words === '') return 'none';
  // `FAST ...`, or `WIDTH HEIGHT`.
  if (words.includes(' ')) return 'any';
  const [, bracket, choice = ENUMERATION.exec(words)?.[1]] = CHOICE.exec(words) ?? [];
  if (choice !== undefined)
    return { oneOf: choice.split(','), ...(bracket !== undefined && { optional: true }) };
  return words.startsWith('[') ? 'optional' : 'text';
}
