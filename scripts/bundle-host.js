/**
 * Makes the host of the suites: the same service, loaded once and started many times. It is in CommonJS, since V8 can keep
 * the compiled code of that alone: a first boot makes it (see test/support/start-host.mjs).
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { OPTIONS, WITHOUT_UNUSED } from './bundle-options.js';

/** What a host loads in any case, and whose code can be kept, too. */
const INSIDE = ['dockerode', '@grpc/*', 'pino', 'pino-http', 'write-file-atomic'];

await build({
  ...OPTIONS,
  external: OPTIONS.external.filter((name) => !INSIDE.includes(name)),
  alias: WITHOUT_UNUSED,
  entryPoints: { 'service-host': 'test/support/service-host.mjs' },
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  // A script with kept code may not import.
  supported: { 'dynamic-import': false },
  define: { 'import.meta.url': 'fileUrl' },
  banner: { js: "const fileUrl = require('node:url').pathToFileURL(__filename).href;" },
});

const directory = mkdtempSync(join(tmpdir(), 'mic-host-'));
try {
  const configFile = join(directory, 'config.yaml');
  writeFileSync(
    configFile,
    JSON.stringify({
      instance_name: 'host-bundle',
      server: { port: await freePort() },
      state: { dir: join(directory, 'state') },
      gpus: { source: 'simulated' },
    }),
  );
  const host = fork('test/support/start-host.mjs', {
    execArgv: JSON.parse(readFileSync('test/support/host-flags.json', 'utf8')),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  for (const command of [
    { kind: 'boot', configFile, directory },
    { kind: 'close', endOfOutput: '' },
  ]) {
    host.send(command);
    const [answer] = await once(host, 'message');
    if (!answer.ok) throw new Error(`the host of the suites: ${answer.message}`);
  }
  host.send({ kind: 'keep-code' });
  await once(host, 'exit');
} finally {
  rmSync(directory, { recursive: true });
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}
