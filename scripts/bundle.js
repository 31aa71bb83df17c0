/**
 * Makes dist/program.cjs out of dist/main.js and the packages it loads: one file instead of some nine hundred, and in CommonJS,
 * since V8 can keep the compiled code of that alone. A first boot makes it (see src/kept-code.ts): both halve the time to the
 * first answer.
 */
import { spawnSync } from 'node:child_process';
import { build } from 'esbuild';
import { COMMON_JS, OPTIONS } from './bundle-options.js';

/** The flag of `npm start`, of the image and of the unit: V8 keeps code for one set of flags. */
const FLAGS = ['--max-semi-space-size=4'];

await Promise.all([
  build({ ...COMMON_JS, sourcemap: true, entryPoints: { program: 'dist/main.js' } }),
  build({
    ...OPTIONS,
    format: 'esm',
    sourcemap: true,
    entryPoints: {
      // Found beside the file that starts it.
      'nvml-child': 'dist/gpus/nvml/nvml-child.js',
      // The demo's tritonserver: a program of its own, beside the service.
      'standin/tritonserver': 'standin/tritonserver/main.ts',
    },
  }),
]);

const { status } = spawnSync(process.execPath, [...FLAGS, 'scripts/keep-code.js'], { stdio: 'inherit' });
if (status !== 0) throw new Error(`The first boot of dist/program.cjs failed: exit code ${status}`);
