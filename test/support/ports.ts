import { createServer } from 'node:net';

/** Below the range of outgoing connections. */
const FIRST_PORT = 20_000;
/** A test may use that many ports from each one it is given. */
const SPACING = 32;
const PORTS_PER_WORKER = 2000;
const SLOTS = Math.floor(PORTS_PER_WORKER / SPACING);
/** Jest counts its workers from 1; a benchmark is none. Workers beyond the sixth share with the first ones. */
const WORKER = (Number(process.env.JEST_WORKER_ID ?? 1) - 1) % 6;

// At random, for the sake of a second run on this machine.
let slot = Math.floor(Math.random() * SLOTS);

/** `count` loopback ports of this worker that were free a moment ago; each comes again after all others. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count && tries < SLOTS; tries += 1) {
    slot = (slot + 1) % SLOTS;
    const port = FIRST_PORT + WORKER * PORTS_PER_WORKER + slot * SPACING;
    if (await isFree(port)) ports.push(port);
  }
  if (ports.length < count) throw new Error('no free ports');
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(false);
    });
    server.listen(port, '127.0.0.1', () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}
