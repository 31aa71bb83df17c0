/**
 * Makes the host of the suites: the same service, loaded once and started many times. A first boot makes the code that V8 keeps
 * (see test/support/start-host.mjs).
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { writeBareConfig } from './bare-config.js';
import { COMMON_JS } from './bundle-options.js';

await build({ ...COMMON_JS, entryPoints: { 'service-host': 'test/support/service-host.mjs' } });

const directory = mkdtempSync(join(tmpdir(), 'mic-host-'));
try {
  const { file: configFile } = await writeBareConfig(directory);
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
