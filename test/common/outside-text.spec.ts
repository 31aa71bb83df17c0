import { describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import ts from 'typescript';
import { parsePsLine } from '../../src/host/process-identity.js';
import { argumentsOf } from '../../src/host/process-facts.js';
import { demultiplex } from '../../src/launchers/docker/container-logs.js';
import { lastLines, MAX_TAIL_BYTES } from '../../src/launchers/output-text.js';
import { flagsOfHelp } from '../../src/runners/argparse-help.js';
import * as comfyui from '../../src/runners/comfyui/last-words.js';
import { assignmentFaults } from '../../src/runners/decided.js';
import * as http from '../../src/runners/http/explain-exit.js';
import { httpOptionSchema } from '../../src/runners/http/http-options.js';
import { missingProgram } from '../../src/runners/missing-program.js';
import { absentMetrics, metricNames, metricSamples } from '../../src/runners/prometheus-text.js';
import { readTemplate } from '../../src/runners/triton/config-template.js';
import * as triton from '../../src/runners/triton/explain-exit.js';
import { pollFailureIn } from '../../src/runners/triton/poll-failure.js';
import * as vllm from '../../src/runners/vllm/explain-exit.js';

/** Largest text that is looked at, and more than most functions are given. */
const SIZE = MAX_TAIL_BYTES;
/** A linear one needs some milliseconds; one that is quadratic, seconds. The best of some tries counts: others have the CPU, too. */
const LIMIT_MS = 500;
const TRIES = 4;

const ESC = '\u001B';

/** So much of the text that it is of the largest size. */
function filled(unit: string, before = '', after = '', size = SIZE): string {
  return before + unit.repeat(Math.ceil((size - before.length - after.length) / unit.length)) + after;
}

function bestOf(work: () => unknown, limitMs: number): number {
  let best = Infinity;
  for (let tries = 0; tries < TRIES && best > limitMs; tries += 1) {
    const begun = performance.now();
    work();
    best = Math.min(best, performance.now() - begun);
  }
  return best;
}

const pattern = (words: string) => httpOptionSchema({ type: 'string', pattern: words, default: '' });

const CASES: readonly (readonly [what: string, text: string, look: (text: string) => unknown])[] = [
  ...['\u001B', '\u001B[', '\u001B]', '\u009B', '\u001B#', '\u001B(', '\u001BP'].map(
    (begin): (typeof CASES)[number] => [
      `a log: ${JSON.stringify(begin)} and ;?`,
      filled(';?', begin),
      (text) => lastLines(text, 20),
    ],
  ),
  ['a log: many escape sequences that do not end', filled(`${ESC}[;?`), (text) => lastLines(text, 20)],
  ['a log: many strings that do not end', filled(`${ESC}]0;a`), (text) => lastLines(text, 20)],
  ['a log: carriage returns', filled('\r'), (text) => lastLines(text, 20)],
  ['a log: empty lines', filled('\n'), (text) => lastLines(text, 2000)],
  ["an Engine's log", filled('a'), (text) => demultiplex(Buffer.from(text), SIZE)],
  [
    'a poll failure',
    filled("failed to poll model '': r", '', '\u2028'),
    (text) => pollFailureIn([text], 'M'),
  ],
  [
    'a poll failure: quotes',
    filled('"Poll failed for model directory \'', '', '\u2028'),
    (text) => pollFailureIn([text], 'M'),
  ],
  [
    'a poll failure: blanks at its end',
    filled(' ', "\"failed to poll model 'M': ", 'x'),
    (text) => pollFailureIn([text], 'M'),
  ],
  [
    "a parser's line",
    filled('] Error parsing text-format ', '[libprotobuf ERROR ', '\u2028'),
    (text) => pollFailureIn([text, "failed to poll model 'M': text proto"], 'M'),
  ],
  ['a template: a word', filled('A'), readTemplate],
  ['a template: words and blanks', filled('A '), readTemplate],
  ['a template: blanks', filled(' ', 'A', '!'), readTemplate],
  ["vLLM's error", filled('Error.e', 'c', 'i'), (text) => vllm.explainExit([text])],
  ["vLLM's error: colons", filled(': ', 'E: Error'), (text) => vllm.explainExit([text])],
  [
    "vLLM's cause that goes on",
    filled('Client Error. (Request ID: ', 'ValueError: '),
    (text) => vllm.explainExit([text]),
  ],
  ["vLLM's prefix", filled(' pid=', '(EngineCore'), (text) => vllm.explainExit([text])],
  ...["VLLM_PORT '", 'The supplied chat template string ', '403 ', 'It looks like the config file at '].map(
    (unit): (typeof CASES)[number] => [`vLLM's cause: ${unit}`, filled(unit), vllm.isFinal],
  ),
  ...['User-specified max_model_len ', 'Total number of attention heads ', 'Model architectures '].map(
    (unit): (typeof CASES)[number] => [`vLLM's cause: ${unit}`, filled(unit), vllm.isFinal],
  ),
  ["an interpreter's word", filled(": can't open file '"), (text) => missingProgram([text], 2)],
  ["an interpreter's word: python", filled('python3.'), (text) => missingProgram([text], 2)],
  ["a shell's word", filled('sh: /'), (text) => missingProgram([text], 127)],
  ["Triton's last word", filled('option ', 'tritonserver: '), (text) => triton.finalCause([text])],
  ["ComfyUI's last words", filled('-attention', 'To use the `--use-'), (text) => comfyui.lastWords([text])],
  ["a server's exception", filled('Error.'), (text) => http.explainExit([text])],
  ["a server's usage", filled('a: error'), (text) => http.explainExit([text])],
  ['a help: choices', filled('[--a ', 'usage: '), (text) => flagsOfHelp([text])],
  ['a help: names', filled('-a, ', 'usage: x\n  -'), (text) => flagsOfHelp(text.split('\n'))],
  ['a help: brackets', filled(']', 'usage: --a x', 'y'), (text) => flagsOfHelp([text])],
  ['metrics: labels', filled('"a', 'a{'), (text) => metricSamples(text, ['a'])],
  ['metrics: a declaration', filled(' ', '# TYPE a b', 'c'), (text) => metricNames(text)],
  ['metrics: many lines', filled('a 1\n'), (text) => absentMetrics(text, ['b'])],
  ['a command line: NUL', filled('\0', 'a', 'b'), argumentsOf],
  ['a row of ps: blanks', filled(' ', '1 1 1 S a', '\u0000b'), (text) => parsePsLine(text)],
  ['an item of a command: env', filled('env '), (text) => assignmentFaults([text])],
  ["an operator's pattern: nested", `${'a'.repeat(1023)}!`, (text) => pattern('(a+)+').safeParse(text)],
  ["an operator's pattern: choice", `${'a'.repeat(1023)}!`, (text) => pattern('(a|aa)*').safeParse(text)],
  ['an item of a command: env -', filled('io', 'env -', '!'), (text) => assignmentFaults([text])],
];

describe('text from outside is looked at in linear time', () => {
  it.each(CASES)('%s', (_what, text, look) => {
    const work = (): unknown => {
      try {
        return look(text);
      } catch (error) {
        return error; // that it makes no sense is an answer, too
      }
    };
    expect(bestOf(work, LIMIT_MS)).toBeLessThan(LIMIT_MS);
  });
});

interface Expression {
  readonly at: string;
  readonly regExp: RegExp;
}

function expressionsOf(file: string): Expression[] {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const found: Expression[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isRegularExpressionLiteral(node)) {
      const end = node.text.lastIndexOf('/');
      const { line } = source.getLineAndCharacterOfPosition(node.getStart());
      const regExp = new RegExp(node.text.slice(1, end), node.text.slice(end + 1));
      found.push({ at: `${file}:${line + 1} ${node.text}`, regExp });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Smaller, as there are many. */
const ATTACK_SIZE = 64 * 1024;
const ATTACK_LIMIT_MS = 60;
const END = '\u0000\n!';

/** Of an expression, what only looks at a place: `(?=[a)])`. */
const LOOKS = /\(\?<?[=!](?:\[(?:\\.|[^\]\\])*\]|\\.|[^()[\\])*\)|\\b/g;

/** Texts that begin as what it matches, and go wrong: parts of a match many times, from its start and from within. */
function attacks({ source, flags }: RegExp): string[] {
  const plain = source.replaceAll(LOOKS, '').replaceAll(/\(\?<\w+>/g, '(?:');
  const matches = fc.stringMatching(new RegExp(plain, flags.replaceAll(/[giy]/g, '')), { size: 'xsmall' });
  const samples = fc.sample(matches, { numRuns: 3, seed: 1 }).map((each) => each.slice(0, 40));
  return [...new Set(samples)].flatMap((sample) => {
    const cuts = Array.from({ length: sample.length }, (_each, at) => at + 1);
    const starts = cuts.map((at) => filled(sample.slice(0, at), '', END, ATTACK_SIZE));
    const within = cuts.map((at) => filled(sample.slice(at - 1, at), sample.slice(0, at), END, ATTACK_SIZE));
    return [...starts, ...within];
  });
}

describe('no expression of the source takes more than linear time', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const expressions = files.flatMap((name) => expressionsOf(join('src', name)));

  it('of those there are many', () => {
    expect(expressions.length).toBeGreaterThan(100);
  });

  it.each(expressions)('$at', ({ regExp }) => {
    for (const text of attacks(regExp)) {
      const work = (): unknown => (regExp.global ? [...text.matchAll(regExp)].length : regExp.test(text));
      const isSlow = bestOf(work, ATTACK_LIMIT_MS) > ATTACK_LIMIT_MS;
      expect({ text: text.slice(0, 80), isSlow }).toMatchObject({ isSlow: false });
    }
  });
});
