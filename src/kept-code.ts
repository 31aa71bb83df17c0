import { readFileSync, statSync, writeFileSync } from 'node:fs';
import Module, { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { Script } from 'node:vm';

type CommonJs = (
  exports: unknown,
  require: NodeJS.Require,
  module: { exports: unknown },
  filename: string,
  dirname: string,
) => void;

/**
 * Runs a bundle in CommonJS with the code that V8 has kept of it, in a file beside it: most of the time to the first answer is
 * compilation otherwise. V8 refuses code of another version or of other flags, and compiles then.
 * @returns the script, for `keepCode`
 */
export function runBundle(file: string): Script {
  const script = new Script(Module.wrap(readFileSync(file, 'utf8')), {
    filename: file,
    cachedData: keptCode(file),
  });
  const module = { exports: {} };
  const run = script.runInThisContext() as CommonJs;
  run(module.exports, createRequire(file), module, file, dirname(file));
  return script;
}

/** Keeps what V8 has compiled of a bundle by now. @public for the build */
export function keepCode(file: string, script: Script): void {
  writeFileSync(codeFileOf(file), script.createCachedData());
}

/** V8 knows a text by its length alone: code that is older than the bundle may be that of another. */
function keptCode(file: string): Buffer | undefined {
  const code = codeFileOf(file);
  const kept = statSync(code, { throwIfNoEntry: false });
  if (!kept || kept.mtimeMs < statSync(file).mtimeMs) return undefined;
  return readFileSync(code);
}

function codeFileOf(file: string): string {
  return `${file}.code`;
}
