/** The check of this service on real GPUs: see run.sh. Bundled by scripts/pack-gpu.js. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkCost, checkEvents, checkRounds } from './cost.js';
import { type SmiGpu, smiGpus } from './nvidia-smi.js';
import { checkReadings, checkUuids } from './readings.js';
import { Report } from './report.js';
import { Rig, type RigSettings } from './rig.js';
import { checkHeld, checkServing } from './serving.js';

const USAGE = `Usage: ./run.sh [--gpu=0] [--rounds=50] [--seconds=20] [--nvml=libnvidia-ml.so.1] [--only=readings,serving]

--gpu      the GPU that the PyTorch server is started on
--rounds   starts and stops, one after another
--seconds  how long the cost of sampling is measured, twice; again where it is over its limit
--nvml     NVIDIA's library
--only     some of: uuids, readings, events, serving, last, held, cost, rounds
PYTHON     (environment) the Python with PyTorch; python3 unless said
`;

function write(line: string): void {
  process.stdout.write(`${line}\n`);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function optionsOf(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        gpu: { type: 'string', default: '0' },
        rounds: { type: 'string', default: '50' },
        seconds: { type: 'string', default: '20' },
        nvml: { type: 'string', default: 'libnvidia-ml.so.1' },
        only: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
}

/** The service launches programs by their path. */
function pathOf(program: string): string {
  if (program.includes('/')) return program;
  const directories = (process.env.PATH ?? '').split(delimiter);
  const found = directories.map((directory) => join(directory, program)).find((path) => existsSync(path));
  return found ?? fail(`${program} is not there: set PYTHON`);
}

async function gpusOfHost(): Promise<SmiGpu[]> {
  try {
    return await smiGpus();
  } catch (error) {
    return fail(`nvidia-smi cannot be asked: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const options = optionsOf(process.argv.slice(2));
if (options.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const settings: RigSettings = {
  directory: import.meta.dirname,
  python: pathOf(process.env.PYTHON ?? 'python3'),
  nvmlLibrary: options.nvml,
};
const [rounds, seconds] = [Number(options.rounds), Number(options.seconds)];
const gpus = await gpusOfHost();
const gpu = gpus.find(({ id }) => id === Number(options.gpu)) ?? fail(`There is no GPU ${options.gpu}.`);
if (!(rounds >= 1 && seconds >= 1)) fail(USAGE);
const question = 'import torch; assert torch.cuda.is_available(), "it sees no GPU"';
const { status, stderr } = spawnSync(settings.python, ['-c', question], { encoding: 'utf8' });
if (status !== 0) fail(`${settings.python} has no PyTorch for CUDA:\n${stderr}`);

for (const { id, name, uuid, driver } of gpus) write(`GPU ${id}: ${name}, ${uuid}, driver ${driver}`);
const report = new Report(write);
const rig = await Rig.boot(settings);
const last = gpus.at(-1) ?? gpu;
const sections: Readonly<Record<string, () => Promise<void>>> = {
  uuids: () => checkUuids(rig, report),
  readings: () => checkReadings(rig, report, 'before'),
  events: () => checkEvents(rig, report, settings),
  serving: () => checkServing(rig, report, gpu),
  last: () => (last === gpu ? Promise.resolve() : checkServing(rig, report, last)),
  held: () => checkHeld(rig, report, gpu),
  cost: () => checkCost(rig, report, seconds),
  rounds: () => checkRounds(rig, report, gpu.id, rounds),
};
try {
  for (const name of options.only?.split(',') ?? Object.keys(sections)) {
    const run = sections[name] ?? (() => Promise.reject(new Error('there is no such section')));
    await report.section(name, run);
  }
} finally {
  for (const { id } of gpus) if (await rig.status(id)) await rig.stop(id, { force: true });
  const code = await rig.end();
  report.check('end of the service', code === 0, `exit code ${String(code)}`);
}
process.exitCode = report.end();
