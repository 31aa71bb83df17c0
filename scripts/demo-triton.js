/**
 * Real inference without a GPU and without Docker: serves two models by NVIDIA's own tritonserver, from the wheel that
 * carries it on PyPI, as processes on simulated GPUs. Needs `npm run build`. Leaves nothing behind but the cache.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findPython } from './find-python.js';

/** Counts up when what is in the cache changes. */
const CACHED = 'tritonserver-pytriton-0.7.0-1';
/** Triton's stubs are built for it: tensors are rubbish with NumPy 2. */
const NUMPY = 'numpy<2';
/** In the wheel, and so in the cache. */
const SERVER = 'pytriton/tritonserver';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'model-inference-client');
/** A fixed place: should this process be killed, the next run finds its servers again. */
const RUN = join(CACHE, 'demo-triton');

const USAGE = 'Usage: npm run demo:triton [-- --triton-port=8000]';

function fail(message) {
  process.stderr.write(`demo:triton: ${message}\n`);
  process.exit(1);
}

function tritonPortOf(args) {
  try {
    const { values } = parseArgs({ args, options: { 'triton-port': { type: 'string', default: '8000' } } });
    const port = Number(values['triton-port']);
    if (Number.isInteger(port) && port > 0 && port <= 65_533) return port;
    return fail(`--triton-port: ${values['triton-port']} is no port. ${USAGE}`);
  } catch (error) {
    return fail(`${error.message}\n${USAGE}`);
  }
}

/** @returns whether it ended well; its words go to the terminal */
function python(executable, args) {
  const { status, signal } = spawnSync(executable, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    // Nothing is installed but into the cache.
    env: { ...process.env, PIP_ROOT_USER_ACTION: 'ignore' },
  });
  if (signal) process.exit(1);
  return status === 0;
}

/** Triton and NumPy for this Python, in the cache. @returns the directory */
function provide({ executable, version }) {
  const directory = join(CACHE, `${CACHED}-python${version}`);
  if (existsSync(directory)) return directory;
  console.log(
    `Fetching NVIDIA's tritonserver and NumPy from PyPI to ${directory} (75 MB; 210 MB unpacked) …`,
  );
  mkdirSync(CACHE, { recursive: true });
  const draft = mkdtempSync(join(CACHE, 'draft-'));
  process.once('exit', () => rmSync(draft, { recursive: true, force: true }));
  const pip = ['-m', 'pip', '--disable-pip-version-check', 'install', '--quiet', '--only-binary=:all:'];
  // Models look for packages beside Triton's own module, and not in PYTHONPATH.
  const packages = join(draft, SERVER, 'backends/python');
  const isThere =
    python(executable, [join(ROOT, 'scripts/fetch-tritonserver.py'), draft, '--python', version]) &&
    python(executable, [...pip, '--target', packages, NUMPY]);
  if (!isThere)
    fail(
      'PyPI could not be reached, or has nothing for this host: see above. A proxy or a mirror: pip config.',
    );
  renameSync(draft, directory);
  return directory;
}

function writeConfig(cached, { environment }, tritonPort) {
  const server = join(cached, SERVER);
  const repository = join(RUN, 'model_repository');
  cpSync(join(ROOT, 'demo/triton/model_repository'), repository, { recursive: true });
  const file = join(RUN, 'config.yaml');
  const config = {
    instance_name: 'demo-triton',
    gpus: { source: 'simulated' },
    // Ctrl-C ends all of it.
    shutdown: { policy: 'stop' },
    runners: {
      triton: {
        launcher: 'process',
        command: [join(server, 'bin/tritonserver')],
        extra_args: [`--backend-directory=${join(server, 'backends')}`],
        env: { ...environment, PYTHONDONTWRITEBYTECODE: '1' },
        // The GPUs are simulated: Triton is to see none, and serves on the CPU.
        gpus: 'none',
        model_repository_host_path: repository,
        runtime_host_path: null,
        http_port: tritonPort,
        grpc_port: tritonPort + 1,
        metrics_port: tritonPort + 2,
        exit_timeout_seconds: 5,
        model_gpu_configs: { MAM: { instances_per_gpu: 2 }, default: { instances_per_gpu: 1 } },
      },
    },
  };
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config, undefined, 2));
  return file;
}

if (process.platform !== 'linux' || process.arch !== 'x64')
  fail(`NVIDIA's tritonserver is there for Linux on x86-64 alone, not for ${process.platform} on ${process.arch}.
npm run demo shows the same API with a stand-in.`);
const tritonPort = tritonPortOf(process.argv.slice(2));
const found = findPython(fail);
const cached = provide(found);
Object.assign(process.env, {
  MIC_CONFIG: writeConfig(cached, found, tritonPort),
  MIC_STATE_DIR: join(RUN, 'state'),
});
process.once('exit', (code) => {
  // Otherwise something may run on: the next run takes it up.
  if (code === 0) rmSync(RUN, { recursive: true, force: true });
});
console.log(`Python ${found.version}: ${found.executable}. Ctrl-C ends all; the cache stays: ${CACHE}`);
// The service reads its own arguments, and has none.
process.argv.splice(2);
await import('../dist/server.js');
