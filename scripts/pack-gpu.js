/**
 * Packs the check of test/gpu for a host with an NVIDIA GPU and nothing else: this Node, the bundle of the service, the
 * packages that it loads beside it, and the check. Needs `npm run build`, xz, and better strip.
 *
 *     node scripts/pack-gpu.js [--out dist/mic-gpu-check.tar.xz] [--level 9]
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const LIMIT_MIB = 40;
const NAME = 'mic-gpu-check';

/** What the bundle loads in any case, or for NVML; and what koffi looks up by the name of its platform. */
const PACKAGES = [
  'fs-native-extensions',
  'koffi',
  `@koromix/koffi-${process.platform}-${process.arch}`,
  'swagger-ui-dist',
];
/** The bundle, and what it reads. */
const SERVICE = [
  ...['server.js', 'kept-code.js', 'program.cjs', 'program.cjs.code', 'nvml-child.js'].map(
    (name) => `dist/${name}`,
  ),
  ...['config/default.yaml', 'openapi.json', 'package.json'],
];

const { values: options } = parseArgs({
  options: {
    out: { type: 'string', default: `dist/${NAME}.tar.xz` },
    level: { type: 'string', default: '9' },
  },
});

/** Leaves out what is for other platforms, and for those who build or debug. */
function isNeeded(path) {
  const prebuild = /\/prebuilds\/([^/]+)/.exec(path)?.[1];
  if (prebuild !== undefined && prebuild !== `${process.platform}-${process.arch}`) return false;
  return !/\/(musl_x64|docs?|tests?|benchmarks?)$|\.(map|md|ts|bare|c|cc|cpp|hh?)$/.test(path);
}

/** A package and all that it depends on; what it has in a node_modules of its own comes with it. */
function copyPackage(name, target) {
  const to = join(target, 'node_modules', name);
  if (existsSync(to)) return;
  const from = join('node_modules', name);
  cpSync(from, to, { recursive: true, filter: (path) => isNeeded(path.slice(from.length)) });
  copyDependencies(from, target);
}

function copyDependencies(from, target) {
  const { dependencies = {} } = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies)) {
    const own = join(from, 'node_modules', name);
    if (existsSync(own)) copyDependencies(own, target);
    else copyPackage(name, target);
  }
}

const work = mkdtempSync(join(tmpdir(), `${NAME}-`));
try {
  const root = join(work, NAME);
  const service = join(root, 'service');
  for (const file of SERVICE) {
    mkdirSync(dirname(join(service, file)), { recursive: true });
    cpSync(file, join(service, file), { preserveTimestamps: true });
  }
  for (const name of PACKAGES) copyPackage(name, service);

  const node = join(root, 'node');
  copyFileSync(process.execPath, node);
  chmodSync(node, 0o755);
  if (spawnSync('strip', ['-s', node]).status !== 0)
    console.warn('strip is not there, or failed: Node is packed with its symbols, and the archive larger.');
  await build({
    entryPoints: { check: 'test/gpu/check.ts' },
    outdir: root,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    logLevel: 'warning',
  });
  for (const file of ['run.sh', 'server.py', 'nvml_events.py'])
    cpSync(join('test/gpu', file), join(root, file));

  mkdirSync(dirname(options.out), { recursive: true });
  execFileSync('tar', ['-C', work, '--owner=0', '--group=0', '-cf', `${root}.tar`, basename(root)]);
  execFileSync('sh', ['-c', `xz -T0 -${Number(options.level)} -c "$0" > "$1"`, `${root}.tar`, options.out]);
} finally {
  rmSync(work, { recursive: true });
}

const mib = statSync(options.out).size / 2 ** 20;
console.log(
  `${options.out}: ${mib.toFixed(1)} MiB, Node ${process.version}, ${process.platform} ${process.arch}`,
);
if (mib > LIMIT_MIB) {
  console.error(`It may have ${LIMIT_MIB} MiB at the most.`);
  process.exitCode = 1;
}
