/**
 * Writes what is derived from the code: openapi.json, config/config.schema.json and the table of
 * docs/configuration.md. With --check it writes nothing, and fails when any of them is out of date.
 */
import 'reflect-metadata';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import prettier from 'prettier';
import { parse } from 'yaml';
import { z } from 'zod';
import { createApp } from '../dist/app.js';
import { loadConfig } from '../dist/config/load-config.js';
import { configSchemaOf } from '../dist/config/schema.js';
import { createOpenApiDocument } from '../dist/openapi.js';
import { backends } from '../dist/runners/backends.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const check = process.argv.includes('--check');

/** A file laid over the defaults needs none of their keys. */
function withoutRequired(schema) {
  if (Array.isArray(schema)) return schema.map(withoutRequired);
  if (schema === null || typeof schema !== 'object') return schema;
  const entries = Object.entries(schema).filter(
    ([key, value]) => !(key === 'required' && Array.isArray(value)),
  );
  return Object.fromEntries(entries.map(([key, value]) => [key, withoutRequired(value)]));
}

function configurationRows(schema, defaults, path = []) {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
    const here = [...path, key];
    const value = defaults?.[key];
    if (child.properties && !child.description) return configurationRows(child, value, here);
    const text = (child.description ?? '').replaceAll('|', '\\|');
    return [`| \`${here.join('.')}\` | \`${JSON.stringify(value)}\` | ${text} |`];
  });
}

async function openApi() {
  const config = loadConfig(`${root}config/default.yaml`, {}, backends);
  const app = await createApp(config, pino({ level: 'silent' }));
  await app.init();
  const document = createOpenApiDocument(app);
  await app.close();
  return document;
}

/** The text between two markers is replaced; the rest of the page is written by hand. */
function between(page, name, text) {
  const pattern = new RegExp(`(<!-- ${name} -->\\n)[^]*?(<!-- /${name} -->)`);
  if (!pattern.test(page)) throw new Error(`docs/configuration.md has no marker ${name}`);
  return page.replace(pattern, (_all, start, end) => `${start}${text}\n${end}`);
}

const schema = withoutRequired(z.toJSONSchema(configSchemaOf(backends), { io: 'input' }));
const defaults = parse(await readFile(`${root}config/default.yaml`, 'utf8'));
const table = ['| key | default | meaning |', '|---|---|---|', ...configurationRows(schema, defaults)].join(
  '\n',
);
const json = async (value) => prettier.format(JSON.stringify(value), { parser: 'json', printWidth: 110 });
const page = await readFile(`${root}docs/configuration.md`, 'utf8');

const files = {
  'openapi.json': await json(await openApi()),
  'config/config.schema.json': await json(schema),
  'docs/configuration.md': between(page, 'keys', table),
};

for (const [name, content] of Object.entries(files)) {
  const current = await readFile(root + name, 'utf8').catch(() => '');
  if (current === content) continue;
  if (check) {
    console.error(`${name} is out of date: run "npm run generate" and commit it.`);
    process.exitCode = 1;
  } else {
    await writeFile(root + name, content);
    console.log(`${name} written`);
  }
}
process.exit();
