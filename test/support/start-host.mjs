/**
 * Loads dist/service-host.cjs with the code that V8 has kept of it (`dist/service-host.cjs.code`), which more than halves what a
 * suite's service costs to load. V8 refuses code of another version or other flags; the file is compiled then.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import Module, { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';

const file = fileURLToPath(new URL('../../dist/service-host.cjs', import.meta.url));
const kept = `${file}.code`;

const script = new Script(Module.wrap(readFileSync(file, 'utf8')), {
  filename: file,
  cachedData: existsSync(kept) ? readFileSync(kept) : undefined,
});
const module = { exports: {} };
script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file));

process.on('message', ({ kind }) => {
  if (kind !== 'keep-code') return;
  writeFileSync(kept, script.createCachedData());
  process.disconnect();
});
