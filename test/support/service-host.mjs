/**
 * A process that has loaded the service and starts it when the suite says so, one after another: a boot costs what the
 * service itself does, without the loading. It takes the same way as src/main.ts, signals included. Bundled, as the
 * service is, into dist/service-host.cjs.
 */
import 'reflect-metadata';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../../dist/common/errors.js';
import { loadConfig } from '../../dist/config/load-config.js';
import { endOnSignals } from '../../dist/end-on-signals.js';
import { backends } from '../../dist/runners/backends.js';
import { Service } from '../../dist/service.js';

const DEFAULT_CONFIG = fileURLToPath(new URL('../config/default.yaml', import.meta.url));

let running;

async function boot({ configFile, directory }) {
  // What the service launches is told by it from that of other suites.
  process.env.TMPDIR = directory;
  const service = await Service.create(
    loadConfig(DEFAULT_CONFIG, { ...process.env, MIC_CONFIG: configFile }, backends),
  );
  running = { service, ignoreSignals: endOnSignals(service) };
  await service.listen();
}

async function close({ endOfOutput }) {
  const isComplete = await running.service.close();
  running.ignoreSignals();
  process.stdout.write(endOfOutput);
  if (!isComplete) throw new Error('the service did not end in order');
}

process.on('message', async (command) => {
  if (command.kind === 'keep-code') return; // for the loader
  try {
    await (command.kind === 'boot' ? boot(command) : close(command));
    process.send({ ok: true });
  } catch (error) {
    process.send({ ok: false, message: messageOf(error) });
  }
});
process.on('disconnect', () => process.exit());
