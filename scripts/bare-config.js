import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './free-port.js';

/**
 * Writes the configuration of a boot for its own sake: simulated GPUs, nothing to serve, and nothing of this host that is asked
 * or touched outside the directory.
 */
export async function writeBareConfig(directory) {
  const port = await freePort();
  const file = join(directory, 'config.yaml');
  const config = {
    instance_name: 'bare',
    server: { port },
    state: { dir: join(directory, 'state') },
    gpus: { source: 'simulated' },
    launchers: { docker: { socket_path: join(directory, 'none.sock') } },
    log: { level: 'error' },
  };
  writeFileSync(file, JSON.stringify(config));
  return { file, port };
}
