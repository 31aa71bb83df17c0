import { basename, resolve } from 'node:path';
import type { HostPath } from '../launchers/host-paths.js';

/** An item of a program, and the key that it stands under. */
export interface ProgramItem {
  readonly text: string;
  readonly setting: string;
}

/** Programs that run a file, and the flags after which they run none: `-m`, `-c`. */
const INTERPRETERS: readonly (readonly [name: RegExp, withoutFile: RegExp])[] = [
  [/^(?:python|pypy)[\d.]*$/, /^-[A-Za-z]*[mc]$/],
  [/^(?:ba|da|k|z|a)?sh$/, /^-[A-Za-z]*[cs]$/],
  [/^(?:node|nodejs)$/, /^(?:-[A-Za-z]*[ep]|--(?:eval|print|test|run)(?:=.*)?)$/],
  [/^(?:perl|ruby)[\d.]*$/, /^-[A-Za-z]*e$/],
];
const PATH = /^(?:\/|\.\.?\/)/;
const PLACEHOLDER = /\{[A-Za-z_][\w.]*\}/;

/**
 * The file that an interpreter among the items is to run, as far as they tell: it must be there before the start. Of any other
 * program's paths, nobody can tell whether it makes them itself.
 */
export function programPaths(items: readonly ProgramItem[]): HostPath[] {
  const file = fileOf(items);
  if (file === undefined || !PATH.test(file.text) || PLACEHOLDER.test(file.text)) return [];
  return [{ path: resolve(file.text), setting: file.setting }];
}

function fileOf(items: readonly ProgramItem[]): ProgramItem | undefined {
  for (const [index, { text }] of items.entries()) {
    const name = basename(text);
    const rest = items.slice(index + 1);
    if (name === 'java') return behind('-jar', rest);
    const [, withoutFile] = INTERPRETERS.find(([words]) => words.test(name)) ?? [];
    if (!withoutFile) continue;
    const first = rest.findIndex((item) => !item.text.startsWith('-'));
    const flags = rest.slice(0, Math.max(0, first));
    return flags.some((flag) => withoutFile.test(flag.text)) ? undefined : rest[first];
  }
  return undefined;
}

function behind(flag: string, items: readonly ProgramItem[]): ProgramItem | undefined {
  const at = items.findIndex(({ text }) => text === flag);
  return at === -1 ? undefined : items[at + 1];
}

/** The items of a list of the configuration, with their keys. */
export function itemsOf(list: readonly string[], key: string): ProgramItem[] {
  return list.map((text, index) => ({ text, setting: `${key}.${index}` }));
}
