import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { type Choice, choiceOf } from './arguments.js';
import { benchEngine } from './engine.js';
import { benchBoot } from './boot.js';
import { benchFrozen, benchReadiness, benchStarts, benchStorm } from './commands.js';
import { faultsOf, type Figure, lineOf } from './figures.js';
import { benchReads } from './reads.js';
import { FULL, type Rounds, SMOKE } from './rounds.js';

type Suite = keyof Rounds;

const SUITES: Readonly<Record<Suite, (rounds: Rounds) => Promise<Figure[]>>> = {
  starts: ({ starts }) => benchStarts(starts),
  frozen: ({ frozen }) => benchFrozen(frozen),
  readiness: ({ readiness }) => benchReadiness(readiness),
  storm: ({ storm }) => benchStorm(storm),
  engine: ({ engine }) => benchEngine(engine),
  reads: ({ reads }) => benchReads(reads),
  boot: ({ boot }) => benchBoot(boot),
};
const RESULT = 'dist/bench.json';

/**
 * Runs the suites in turn: a table on the terminal, JSON in `dist/bench.json`.
 * @returns why suites have failed; empty when all are right
 */
async function measure(suites: readonly Suite[], rounds: Rounds): Promise<string[]> {
  const results: Partial<Record<Suite, Figure[]>> = {};
  const faults: string[] = [];
  for (const suite of suites) {
    console.log(`\n${suite}`);
    const figures = await SUITES[suite](rounds);
    results[suite] = figures;
    faults.push(...faultsOf(suite, figures));
    for (const figure of figures) console.log(lineOf(figure));
  }
  await mkdir('dist', { recursive: true });
  const machine = { node: process.version, cpus: cpus().length };
  await writeFile(RESULT, `${JSON.stringify({ machine, rounds, results }, undefined, 2)}\n`);
  console.log(`\nwritten to ${RESULT}`);
  return faults;
}

/** `npm run bench [-- [--smoke] suite …]`; exit code 1: a suite failed; 2: the arguments make no sense. */
async function main(): Promise<void> {
  let choice: Choice<Suite>;
  try {
    choice = choiceOf(process.argv.slice(2), Object.keys(SUITES) as Suite[]);
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 2;
    return;
  }
  const faults = await measure(choice.suites, choice.smoke ? SMOKE : FULL);
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) process.exitCode = 1;
}

await main();
