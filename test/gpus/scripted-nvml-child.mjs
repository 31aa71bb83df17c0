/**
 * Stands in for the compiled nvml-child.js: `library` names what it does instead of loading one. Each run appends a
 * line to the file in SCRIPTED_NVML_RUNS, so that a test can count the runs.
 */
import { appendFileSync, readFileSync } from 'node:fs';

const runs = process.env.SCRIPTED_NVML_RUNS;
appendFileSync(runs, `${process.pid}\n`);
const run = readFileSync(runs, 'utf8').trim().split('\n').length;
const sample = { id: 0, uuid: `run-${run}`, processes: [], simulated: false };

const scripts = {
  healthy: () => ({ type: 'sample', samples: [sample], lost: false }),
  lost: () => ({ type: 'sample', samples: [{ ...sample, error: 'lost' }], lost: true }),
  uninitializedOnce: () =>
    run === 1 ? failed('uninitialized') : { type: 'sample', samples: [sample], lost: false },
  neverInitialized: () => failed('uninitialized'),
  hangsOnce: () => (run === 1 ? hang() : { type: 'sample', samples: [sample], lost: false }),
  crashes: () => process.kill(process.pid, 'SIGSEGV'),
};

function failed(reason) {
  return { type: 'failed', failure: { reason, text: 'in its own words', nvmlCode: 1 } };
}

function hang() {
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

const script = process.argv[2];
if (script === 'slowInit') hang();
if (script === 'missing') process.send(failed('library_not_loaded'));
else if (script === 'noDriverOnce' && run === 1) process.send(failed('init_failed'));
else {
  process.on('message', () => process.send((scripts[script] ?? scripts.healthy)()));
  process.send({ type: 'ready' });
}
