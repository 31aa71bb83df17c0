/**
 * Makes dist/server.js, the program, and dist/bundle.js out of dist/main.js and the packages it always loads: one file instead of
 * some nine hundred, which halves the time to the first answer. The Docker client is a file of its own, for the hosts that need it.
 */
import { writeFile } from 'node:fs/promises';
import { build } from 'esbuild';
import { OPTIONS, WITHOUT_UNUSED } from './bundle-options.js';

const BUNDLE = {
  ...OPTIONS,
  format: 'esm',
  sourcemap: true,
  banner: {
    js: "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);",
  },
};

/** The service finds it beside itself. */
const DOCKER_CLIENT = {
  name: 'docker-client',
  setup({ onResolve }) {
    onResolve({ filter: /^dockerode$/ }, () => ({ path: './docker-client.js', external: true }));
  },
};

/** V8 keeps what it has compiled, where Node can say so: beside the bundle, since whoever may write there may change that as well. */
const PROGRAM = `
import module from 'node:module';
import { join } from 'node:path';
module.enableCompileCache?.(join(import.meta.dirname, 'compile-cache'));
await import('./bundle.js');
`;

await Promise.all([
  writeFile('dist/server.js', PROGRAM.trimStart()),
  build({
    ...BUNDLE,
    plugins: [...OPTIONS.plugins, DOCKER_CLIENT],
    // The child that talks to NVIDIA's library is found beside the file that starts it.
    entryPoints: {
      bundle: 'dist/main.js',
      'nvml-child': 'dist/gpus/nvml/nvml-child.js',
      // The demo's tritonserver: a program of its own, beside the service.
      'standin/tritonserver': 'standin/tritonserver/main.ts',
    },
  }),
  build({
    ...BUNDLE,
    external: OPTIONS.external.filter((name) => name !== 'dockerode' && !name.startsWith('@grpc/')),
    alias: WITHOUT_UNUSED,
    stdin: { contents: "export { default } from 'dockerode';", resolveDir: '.' },
    outfile: 'dist/docker-client.js',
    outdir: undefined,
  }),
]);
