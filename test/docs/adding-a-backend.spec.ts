import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';
import { parse } from 'yaml';
import type { z } from 'zod';
import type { PlacementServerConfig } from '../../src/config/sections/placement-server.js';
import { httpSection } from '../../src/config/sections/http.js';
import type { RunnerHost } from '../../src/runners/placement-server/served-placement.js';
import type { Runner } from '../../src/runners/runner.js';
import { runnerContract } from '../contracts/runner-contract.js';
import { RunnerRig } from '../support/runner-rig.js';

const ROOT = process.cwd();
const LLAMA = [process.execPath, join(ROOT, 'test/fakes/llama-server.mjs')];
const PAGES = ['docs/adding-a-backend.md', 'docs/adding-a-backend.zh-CN.md'];

function blocksOf(page: string, language: string): string[] {
  const pattern = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm');
  return [...readFileSync(page, 'utf8').matchAll(pattern)].map(([, code = '']) => code);
}

function linesOf(blocks: readonly string[]): number {
  return blocks.join('').split('\n').filter(Boolean).length;
}

/** File name → code, by the comment that each block begins with. */
function filesOf(page: string): Record<string, string> {
  return Object.fromEntries(
    blocksOf(page, 'ts').map((code) => [/^\/\/ (\S+)\n/.exec(code)?.[1] ?? '', code.replace(/^.*\n/, '')]),
  );
}

const [english = ''] = PAGES;
const files = filesOf(english);
const SECTION = 'src/config/sections/llama.ts';
const RUNNER = 'src/runners/llama/llama-runner.ts';
const SCHEMA = 'src/config/schema.ts';
const MODULE = 'src/runners/runners.module.ts';

/** The repository as it is after the page. */
function patched(): Map<string, string> {
  const schema = readFileSync(SCHEMA, 'utf8').replace(
    /runners: z\.strictObject\(\{/,
    (all) => `${all} ${files[SCHEMA] ?? ''}`,
  );
  const module = readFileSync(MODULE, 'utf8').replace(
    /^ {2}return \[$/m,
    (all) => `${all}\n${files[MODULE] ?? ''}`,
  );
  return new Map([
    [SECTION, files[SECTION] ?? ''],
    [RUNNER, files[RUNNER] ?? ''],
    [SCHEMA, `import { llamaSection } from './sections/llama.js';\n${schema}`],
    [MODULE, `import { LlamaRunner } from './llama/llama-runner.js';\n${module}`],
  ]);
}

/** Parsed once for all programs: what the page leaves as it is. */
const sources = new Map<string, ts.SourceFile | undefined>();

function faultsOf(changed: ReadonlyMap<string, string>): string[] {
  const { config } = ts.readConfigFile('tsconfig.json', (path) => ts.sys.readFile(path)) as {
    config: object;
  };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
  const virtual = new Map([...changed].map(([path, code]) => [resolve(path), code]));
  const base = ts.createCompilerHost(options);
  const host: ts.CompilerHost = {
    ...base,
    fileExists: (path) => virtual.has(path) || base.fileExists(path),
    readFile: (path) => virtual.get(path) ?? base.readFile(path),
    directoryExists: (path) => path === dirname(resolve(RUNNER)) || base.directoryExists?.(path) === true,
    getSourceFile: (path, target, onError) => {
      const code = virtual.get(path);
      if (code !== undefined) return ts.createSourceFile(path, code, target);
      if (!sources.has(path)) sources.set(path, base.getSourceFile(path, target, onError));
      return sources.get(path);
    },
  };
  const program = ts.createProgram([...virtual.keys()], { ...options, noEmit: true }, host);
  return [...virtual.keys()]
    .flatMap((path) => program.getSourceFile(path) ?? [])
    .flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)])
    .map(
      (fault) => `${fault.file?.fileName ?? ''}: ${ts.flattenDiagnosticMessageText(fault.messageText, '\n')}`,
    );
}

interface Llama {
  readonly section: z.ZodType<PlacementServerConfig>;
  readonly LlamaRunner: new (config: PlacementServerConfig, host: RunnerHost) => Runner;
}

/** The code of the page, run from a directory of its own inside the repository. */
async function load(directory: string): Promise<Llama> {
  const source = '../../../src/';
  const write = (name: string, code: string): string => {
    const path = join(directory, name);
    writeFileSync(path, code);
    return path;
  };
  const section = write('llama.ts', (files[SECTION] ?? '').replaceAll(`'./`, `'${source}config/sections/`));
  const runner = write(
    'llama-runner.ts',
    (files[RUNNER] ?? '')
      .replaceAll(/'\.\.\/(?!\.\.)/g, `'${source}runners/`)
      .replaceAll(/'\.\.\/\.\.\/(?!\.\.)/g, `'${source}`)
      .replace(/'[^']*sections\/llama\.js'/, `'./llama.js'`),
  );
  const { llamaSection } = (await import(section)) as { llamaSection: Llama['section'] };
  const { LlamaRunner } = (await import(runner)) as Pick<Llama, 'LlamaRunner'>;
  return { section: llamaSection, LlamaRunner };
}

interface Yaml {
  readonly runners: { readonly llama: Record<string, unknown> };
}

describe('docs/adding-a-backend', () => {
  it('has the same code in both languages, of 60 lines of TypeScript and 15 of YAML at most', () => {
    const [first, second] = PAGES.map((page) => ['ts', 'yaml', 'bash'].map((each) => blocksOf(page, each)));
    expect(first).toEqual(second);
    expect(linesOf(first?.[0] ?? [])).toBeLessThanOrEqual(60);
    expect(linesOf(first?.[1] ?? [])).toBeLessThanOrEqual(15);
    expect(Object.keys(files)).toEqual([SECTION, RUNNER, SCHEMA, MODULE]);
  });

  it('compiles, its two lines of registration included', () => {
    expect(faultsOf(patched())).toEqual([]);
    const broken = new Map(patched()).set(RUNNER, (files[RUNNER] ?? '').replace('4096', "'4096'"));
    expect(faultsOf(broken)).toHaveLength(1);
  }, 120_000);

  describe('keeps the contract of runners', () => {
    let directory: string;
    let llama: Llama;

    beforeAll(async () => {
      directory = mkdtempSync(resolve('test/docs/.page-'));
      llama = await load(directory);
    });

    afterAll(() => {
      rmSync(directory, { recursive: true, force: true });
    });

    runnerContract(async () => {
      const rig = await RunnerRig.create();
      const yaml = parse(blocksOf(english, 'yaml').join('')) as Yaml;
      const config = llama.section.parse({
        ...yaml.runners.llama,
        ...{ command: LLAMA, ports: rig.ports, supported_models: ['qwen', 'gone', 'endless'] },
        model_files: { qwen: '/srv/qwen.gguf', gone: '/srv/missing.gguf', endless: '/srv/endless.gguf' },
      });
      return rig.harness({
        model: 'qwen',
        failing: 'gone',
        endless: 'endless',
        sharesServer: false,
        create: () => new llama.LlamaRunner(config, rig.host()),
      });
    }, 20_000);
  });
});

describe('docs/backends/http.md', () => {
  it('has YAML of 15 lines at most that the configuration takes', () => {
    const blocks = blocksOf('docs/backends/http.md', 'yaml');
    expect(linesOf(blocks)).toBeLessThanOrEqual(15);
    const page = parse(blocks.join('')) as { runners: { http: Record<string, unknown> } };
    const defaults = parse(readFileSync('config/default.yaml', 'utf8')) as typeof page;
    const config = httpSection.parse({ ...defaults.runners.http, ...page.runners.http });
    expect(config.supported_models).toEqual(['qwen']);
  });
});
