import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import type { OpenAPIObject } from '@nestjs/swagger';
import ts from 'typescript';
import { parse } from 'yaml';
import type { z } from 'zod';
import type { PlacementServerConfig } from '../../src/runners/placement-server/placement-server-section.js';
import { loadConfig } from '../../src/config/load-config.js';
import { describeStartOptions } from '../../src/openapi.js';
import { backend } from '../../src/runners/backend.js';
import { backends } from '../../src/runners/backends.js';
import { httpSection } from '../../src/runners/http/http-section.js';
import type { RunnerHost } from '../../src/runners/runner-host.js';
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
const FOLDER = 'src/runners/llama';
const SECTION = `${FOLDER}/llama-section.ts`;
const RUNNER = `${FOLDER}/llama-runner.ts`;
const BROKEN = `${FOLDER}/llama-runner-with-a-fault.ts`;
const ROWS = 'src/runners/backends.ts';

const USE = 'src/use-of-the-configuration.ts';
const useOfConfig = `import type { FullConfig } from './runners/backends.js';
  export const fileOf = ({ runners }: FullConfig): string | undefined => runners.llama.model_files.qwen;`;

/** The repository as it is after the page, and a file that reads a key of the new section. */
function patched(): Map<string, string> {
  const imports = `import { llamaOptions, LlamaRunner } from './llama/llama-runner.js';
    import { llamaSection } from './llama/llama-section.js';`;
  const rows = readFileSync(ROWS, 'utf8').replace(
    /^export const backends = \[$/m,
    (all) => `${all}\n${files[ROWS] ?? ''}`,
  );
  return new Map([
    [SECTION, files[SECTION] ?? ''],
    [RUNNER, files[RUNNER] ?? ''],
    [ROWS, `${imports}\n${rows}`],
    [USE, useOfConfig],
  ]);
}

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
    directoryExists: (path) => path === resolve(FOLDER) || base.directoryExists?.(path) === true,
    getSourceFile: (path, target, onError) => {
      const code = virtual.get(path);
      if (code !== undefined) return ts.createSourceFile(path, code, target);
      return base.getSourceFile(path, target, onError);
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

type LlamaConfig = PlacementServerConfig & { readonly model_files: Readonly<Record<string, string>> };

interface Llama {
  readonly llamaSection: z.ZodType<LlamaConfig>;
  readonly llamaOptions: z.ZodObject;
  readonly LlamaRunner: new (config: LlamaConfig, host: RunnerHost) => Runner & { readonly backend: 'llama' };
}

/** The code of the page, run from a directory of its own inside the repository. */
async function load(directory: string): Promise<Llama> {
  const modules = [SECTION, RUNNER].map((file): string => {
    const path = join(directory, basename(file));
    const code = (files[file] ?? '').replaceAll(
      /'(\.\.\/[^']*)'/g,
      (_all, specifier: string) => `'${relative(directory, resolve(FOLDER, specifier))}'`,
    );
    writeFileSync(path, code);
    return path;
  });
  const loaded = (await Promise.all(modules.map((path) => import(path)))) as Partial<Llama>[];
  return Object.assign({}, ...loaded) as Llama;
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
    expect(Object.keys(files)).toEqual([SECTION, RUNNER, ROWS]);
  });

  it('compiles, its row included, which gives the configuration the keys of the section', () => {
    // Beside it one that does not, so that one program shows both.
    const broken = (files[RUNNER] ?? '').replace('4096', "'4096'");
    expect(faultsOf(patched().set(BROKEN, broken))).toEqual([expect.stringContaining(BROKEN)]);
  }, 120_000);

  describe('once it is there', () => {
    let directory: string;
    let llama: Llama;

    beforeAll(async () => {
      directory = mkdtempSync(resolve('test/docs/.page-'));
      llama = await load(directory);
    });

    afterAll(() => {
      rmSync(directory, { recursive: true, force: true });
    });

    it('is in the configuration, the runners and the document of the API, by its row alone', async () => {
      const { llamaSection: section, llamaOptions: options, LlamaRunner: runner } = llama;
      const row = backend({ name: 'llama', section, options, runner });
      const yaml = join(directory, 'config.yaml');
      writeFileSync(yaml, blocksOf(english, 'yaml').join(''));
      const { runners } = loadConfig('config/default.yaml', { MIC_CONFIG: yaml }, [...backends, row]);
      expect(runners.llama.model_files).toEqual({ qwen: '/srv/models/qwen.gguf' });

      const rig = await RunnerRig.create();
      expect(row.createRunner(runners, rig.host())?.models).toEqual(['qwen']);
      const off = { llama: { ...runners.llama, enabled: false } };
      expect(row.createRunner(off, rig.host())).toBeUndefined();
      await rig.dispose();

      const document: OpenAPIObject = {
        openapi: '3.0.0',
        info: { title: '', version: '' },
        paths: {},
        components: { schemas: { StartRequest: { properties: { config: { description: 'Any.' } } } } },
      };
      describeStartOptions(document, [row]);
      expect(document).toHaveProperty('components.schemas.StartRequest.properties.config', {
        description: 'Any. llama: `ctx_size`.',
        anyOf: [{ $ref: '#/components/schemas/LlamaStartOptions' }],
      });
      expect(document.components?.schemas?.LlamaStartOptions).toMatchObject({
        properties: { ctx_size: { type: 'integer', minimum: 256, maximum: 131_072 } },
        additionalProperties: false,
      });
    });

    describe('keeps the contract of runners', () => {
      runnerContract(async () => {
        const rig = await RunnerRig.create();
        const yaml = parse(blocksOf(english, 'yaml').join('')) as Yaml;
        const config = llama.llamaSection.parse({
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

describe('docs/backends/http-ports.md', () => {
  it('has YAML that the configuration takes', () => {
    const page = parse(blocksOf('docs/backends/http-ports.md', 'yaml').join('')) as {
      runners: { http: Record<string, unknown> };
    };
    const defaults = parse(readFileSync('config/default.yaml', 'utf8')) as typeof page;
    const config = httpSection.parse({ ...defaults.runners.http, ...page.runners.http });
    expect(config.models.iris?.ports).toEqual(['grpc', 'metrics']);
  });
});
