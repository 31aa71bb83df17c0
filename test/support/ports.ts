import { createServer } from 'node:net';

/** Whoever is given a port may use that many from it on. */
const SPACING = 32;
/** Of one test, whatever it has: its configuration must not give a port twice. */
const GIVEN_LATELY = 24;
const given: number[] = [];

/** `count` loopback ports that were free a moment ago, below the range of outgoing connections. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count && tries < 500; tries += 1) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const isApart = [...given.slice(-GIVEN_LATELY), ...ports].every(
      (each) => Math.abs(each - port) >= SPACING,
    );
    if (isApart && (await isFree(port))) ports.push(port);
  }
  if (ports.length < count) throw new Error('no free ports');
  given.push(...ports);
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
