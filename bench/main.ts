import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { benchBoot } from './boot.js';
import { benchFrozen, benchReadiness, benchStarts, benchStorm } from './commands.js';
import type { Figure } from './statistics.js';

const SUITES: Record<string, () => Promise<Figure[]>> = {
  starts: benchStarts,
  frozen: benchFrozen,
  readiness: benchReadiness,
  storm: benchStorm,
  boot: benchBoot,
};
const RESULT = 'dist/bench.json';

/** `npm run bench [-- suite …]`: a table on the terminal, JSON in `dist/bench.json`. */
async function main(): Promise<void> {
  const chosen = process.argv.slice(2);
  const results: Record<string, Figure[]> = {};
  for (const [name, suite] of Object.entries(SUITES)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    console.log(`\n${name}`);
    const figures = await suite();
    results[name] = figures;
    for (const { name: figure, value, unit, target } of figures) {
      const shown = unit === 'count' ? String(value) : value.toFixed(2);
      console.log(`  ${figure.padEnd(46)} ${shown.padStart(10)} ${unit.padEnd(6)} ${target ?? ''}`);
    }
  }
  await mkdir('dist', { recursive: true });
  const machine = { node: process.version, cpus: cpus().length };
  await writeFile(RESULT, `${JSON.stringify({ machine, results }, undefined, 2)}\n`);
  console.log(`\nwritten to ${RESULT}`);
}

await main();
