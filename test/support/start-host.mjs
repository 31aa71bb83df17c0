/** Runs dist/service-host.cjs with its kept code, and keeps that when it is told to. */
import { fileURLToPath } from 'node:url';
import { keepCode, runBundle } from '../../dist/kept-code.js';

const HOST = fileURLToPath(new URL('../../dist/service-host.cjs', import.meta.url));
const script = runBundle(HOST);

process.on('message', ({ kind }) => {
  if (kind !== 'keep-code') return;
  keepCode(HOST, script);
  process.disconnect();
});
