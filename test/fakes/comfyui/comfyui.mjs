// Plays ComfyUI 0.3.39: its flags, its HTTP API as far as the runner and the tests use it, and its ways to fail.
// Settings are JSON: `standin.json` beside main.py, and over it the one in COMFYUI_WORKFLOW_DIR; read again for every
// prompt.
import { Buffer } from 'node:buffer';
import { mkdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { clearTimeout, setInterval, setTimeout } from 'node:timers';

const [main = '', ...args] = process.argv.slice(2);
const log = (line) => process.stderr.write(`${line}\n`);

const DEFAULTS = {
  import_seconds: 0.2,
  /** ImportError at the end of the import. */
  import_fails: false,
  /** The signal that ends it right after that; null: it ends itself. */
  fails_by: null,
  /** It says that its frontend is not installed, and ends with -1. */
  frontend_missing: false,
  /** The port is never opened. */
  never_up: false,
  /** What /system_stats reports instead of the truth: keys of devices[0]. */
  device: {},
  prompt_seconds: 0.1,
  /** The node at work heeds neither /interrupt nor SIGINT until it is done. */
  stubborn: false,
  /** Flags of another version: those it has besides, name → operand as --help shows it ('' for none), and those it lacks. */
  more_flags: {},
  lacks_flags: [],
  /** --help prints nothing for so long; with -1 it fails. */
  help_seconds: 0,
};

function settings() {
  const read = (directory) => {
    try {
      return JSON.parse(readFileSync(join(directory, 'standin.json'), 'utf8'));
    } catch {
      return {};
    }
  };
  const own = process.env.COMFYUI_WORKFLOW_DIR;
  return { ...DEFAULTS, ...read(dirname(main)), ...(own ? read(own) : {}) };
}

/** Flags with a value, and those without; of the real ones, what a test gives. */
const VALUED = [
  ...['--listen', '--port', '--cuda-device', '--base-directory', '--output-directory', '--input-directory'],
  ...['--temp-directory', '--extra-model-paths-config', '--reserve-vram', '--preview-method', '--cache-lru'],
];
const BARE = [
  ...['--cpu', '--disable-auto-launch', '--gpu-only', '--highvram', '--normalvram', '--lowvram', '--novram'],
  ...['--disable-all-custom-nodes', '--disable-metadata', '--cache-none', '--fp16-vae'],
];

/** Every flag with its operand. */
function known() {
  const { more_flags: more, lacks_flags: lacks } = settings();
  const own = [
    ...VALUED.map((flag) => [flag, flag.slice(2).toUpperCase()]),
    ...BARE.map((flag) => [flag, '']),
  ];
  const all = { ...Object.fromEntries(own), ...more };
  return Object.fromEntries(Object.entries(all).filter(([flag]) => !lacks.includes(flag)));
}

/** As Python's argparse prints it. */
function help() {
  const { help_seconds: seconds } = settings();
  if (seconds < 0) process.exit(1);
  const flags = Object.entries(known()).map(([flag, operand]) => `${flag} ${operand}`.trim());
  const lines = flags.map((flag) =>
    flag.length < 22 ? `  ${flag.padEnd(22)}Of it.` : `  ${flag}\n${' '.repeat(24)}Of it.`,
  );
  const text = [`usage: main.py [-h] ${flags.map((flag) => `[${flag}]`).join(' ')}`, '', 'options:'];
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
  writeSync(1, [...text, '  -h, --help            show this help message and exit', ...lines, ''].join('\n'));
  process.exit(0);
}

/** By an operand as --help shows it: `FAST` has one, `[FAST]` one at the most, `[FAST ...]` any number. */
function valuesAfter(index, operand) {
  if (operand === '') return [];
  const rest = args.slice(index + 1);
  const end = rest.findIndex((each) => each.startsWith('--'));
  const values = end === -1 ? rest : rest.slice(0, end);
  return operand.includes('...') ? values : values.slice(0, 1);
}

function parse() {
  const flags = {};
  const unknown = [];
  const all = known();
  for (let index = 0; index < args.length; index += 1) {
    const [name, glued] = args[index].split(/=(.*)/s);
    if (all[name] === undefined) {
      unknown.push(name);
      continue;
    }
    const values = glued === undefined ? valuesAfter(index, all[name]) : [glued];
    if (glued === undefined) index += values.length;
    flags[name] = all[name] === '' ? true : values[0];
  }
  if (unknown.length > 0) {
    log('usage: main.py [-h] [--listen [IP]] [--port PORT]');
    log(`main.py: error: unrecognized arguments: ${unknown.join(' ')}`);
    process.exit(2);
  }
  return flags;
}

function raise(error) {
  log('Traceback (most recent call last):');
  log(`  File "${main}", line 131, in <module>`);
  log('    import server');
  log(error);
  const { fails_by: signal } = settings();
  if (signal === null) process.exit(1);
  process.kill(process.pid, signal);
}

function endWithoutFrontend() {
  const frame = '********** ERROR ***********';
  log(`${frame}\n\ncomfyui-frontend-package is not installed.\n`);
  log(
    `Please install the updated requirements.txt file by running:\npython -m pip install -r requirements.txt\n`,
  );
  log(`This error is happening because the ComfyUI frontend is no longer shipped.\n\n${frame}`);
  process.exit(-1);
}

if (args.includes('--help')) help();
const flags = parse();
const onCpu = flags['--cpu'] === true;
const visible = process.env.CUDA_VISIBLE_DEVICES;
if (!onCpu && visible === '-1') raise('RuntimeError: No CUDA GPUs are available');

const base = flags['--base-directory'] ?? dirname(main);
const output = flags['--output-directory'] ?? join(base, 'output');

const MIB = 1024 * 1024;
const device = () => ({
  name: onCpu ? 'cpu' : 'cuda:0 Simulated GPU : cudaMallocAsync',
  type: onCpu ? 'cpu' : 'cuda',
  index: onCpu ? null : 0,
  vram_total: 24_576 * MIB,
  vram_free: 20_000 * MIB,
  torch_vram_total: 0,
  torch_vram_free: 0,
  ...settings().device,
});

let number = 0;
let running;
const pending = [];
const history = {};
let isEnding = false;

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=',
  'base64',
);

function work() {
  if (running || pending.length === 0) return;
  running = pending.shift();
  const done = setTimeout(() => finish('success'), settings().prompt_seconds * 1000);
  running.interrupt = () => {
    if (settings().stubborn) return;
    clearTimeout(done);
    finish('error');
  };
}

function finish(status) {
  const { id, prompt } = running;
  const images = [];
  if (status === 'success') {
    for (const node of Object.values(prompt).filter((each) => each.class_type === 'SaveImage')) {
      const filename = `${node.inputs?.filename_prefix ?? 'ComfyUI'}_${String(++number).padStart(5, '0')}_.png`;
      mkdirSync(output, { recursive: true });
      writeFileSync(join(output, filename), PNG);
      images.push({ filename, subfolder: '', type: 'output' });
    }
    log('Prompt executed in 0.00 seconds');
  } else log('Processing interrupted');
  history[id] = {
    outputs: { 2: { images } },
    status: { status_str: status, completed: status === 'success' },
  };
  running = undefined;
  if (isEnding) stop();
  else work();
}

function stop() {
  log('\nStopped server');
  process.exit(0);
}

const item = ({ id, prompt, order }) => [order, id, prompt, {}, ['2']];

const routes = {
  'GET /system_stats': () => ({
    system: { os: 'posix', comfyui_version: '0.3.39', argv: [main, ...args] },
    devices: [device()],
  }),
  'GET /prompt': () => ({ exec_info: { queue_remaining: pending.length + (running ? 1 : 0) } }),
  'GET /queue': () => ({ queue_running: running ? [item(running)] : [], queue_pending: pending.map(item) }),
  'GET /history': () => history,
  'GET /history?max_items=1': () => Object.fromEntries(Object.entries(history).slice(-1)),
  'GET /visible': () => ({ gpus: visible ?? null, order: process.env.CUDA_DEVICE_ORDER ?? null }),
  'POST /prompt': ({ prompt }) => {
    const hasOutput = Object.values(prompt ?? {}).some((node) => node.class_type === 'SaveImage');
    if (!hasOutput) {
      const error = {
        type: 'prompt_no_outputs',
        message: 'Prompt has no outputs',
        details: '',
        extra_info: {},
      };
      return [400, { error, node_errors: {} }];
    }
    log('got prompt');
    const entry = { id: randomUUID(), prompt, order: pending.length };
    pending.push(entry);
    work();
    return { prompt_id: entry.id, number: entry.order, node_errors: {} };
  },
  'POST /queue': ({ clear }) => {
    if (clear) pending.length = 0;
  },
  'POST /interrupt': () => running?.interrupt(),
  'POST /free': () => undefined,
};

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return text === '' ? {} : JSON.parse(text);
}

const server = createServer((request, response) => {
  void bodyOf(request).then((body) => {
    const key = `${request.method} ${request.url}`;
    if (request.method === 'POST') log(`${key} ${JSON.stringify(body)}`.slice(0, 200));
    const answer = routes[key] ? routes[key](body) : [404, { error: 'Not Found' }];
    const [status, value] = Array.isArray(answer) ? answer : [200, answer];
    response.statusCode = status;
    response.end(value === undefined ? '' : JSON.stringify(value));
  });
});

process.on('SIGINT', () => {
  if (!(running && settings().stubborn)) stop();
  isEnding = true;
});

log('ComfyUI version: 0.3.39');
setTimeout(() => {
  const { import_fails: fails, frontend_missing: isBare, never_up: isNeverUp } = settings();
  if (isBare) endWithoutFrontend();
  if (fails) raise("ModuleNotFoundError: No module named 'torchsde'");
  if (isNeverUp) return void setInterval(() => undefined, 60_000);
  server.on('error', (error) => {
    raise(`OSError: [Errno 98] error while attempting to bind on address: ${error.code}`);
  });
  server.listen(Number(flags['--port'] ?? 8188), flags['--listen'] ?? '127.0.0.1', () => {
    log(`Starting server\n\nTo see the GUI go to: http://${flags['--listen']}:${flags['--port']}`);
  });
}, settings().import_seconds * 1000);
