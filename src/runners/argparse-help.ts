/** What follows a flag: nothing, one value, at most one, or any number of them. */
export type HelpOperand = 'none' | 'text' | 'optional' | 'any';

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

function operandOf(words: string): HelpOperand {
  if (words === '') return 'none';
  if (words.includes('...')) return 'any';
  return words.startsWith('[') ? 'optional' : 'text';
}
