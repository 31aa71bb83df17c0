import { describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const pages = [
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name)),
  ...readdirSync('.'),
].filter((name) => name.endsWith('.md'));
const chineseOf = (page: string): string => page.replace(/\.md$/, '.zh-CN.md');
const translated = pages.filter((page) => pages.includes(chineseOf(page))).sort();

/** What an operator reads in trouble: these pages are there in both languages. */
const FOR_OPERATORS = [
  'README.md',
  ...['deployment', 'errors', 'flags', 'gpu-memory', 'troubleshooting'].map((name) => `docs/${name}.md`),
  ...pages.filter((page) => page.startsWith('docs/backends/') && !page.endsWith('.zh-CN.md')),
];

const FENCE = /^ *```(\w*)\n([^]*?)^ *```$/gm;
const textOf = (page: string): string => readFileSync(page, 'utf8');
const proseOf = (page: string): string => textOf(page).replaceAll(FENCE, '');

/** Blocks of code without their comments, which are prose. One without a language is prose by half: its count alone. */
function blocksOf(page: string): string[] {
  const withoutComments = (code: string): string => code.replaceAll(/(^|\s)#.*$/gm, '').trimEnd();
  return [...textOf(page).matchAll(FENCE)].map(([, language = '', code = '']) =>
    language === '' ? '' : `${language}\n${withoutComments(code)}`,
  );
}

/** Names in `code`, each once; what stands for a name, as in `<model>`, may be in the reader's words. */
function namesOf(text: string): string[] {
  const names = [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
  return [...new Set(names.map((name) => name.replaceAll(/\s+/g, ' ').replaceAll(/<[^>]+>/g, '<>')))].sort();
}

/** The page cut before each heading: level, paragraphs, rows of tables, list items, and names. */
function sectionsOf(page: string): object[] {
  return proseOf(page)
    .split(/^(?=#+ )/m)
    .map((section) => ({
      level: /^#*/.exec(section)?.[0].length,
      paragraphs: section.trim().split(/\n{2,}/).length,
      rows: section.match(/^ *\|/gm)?.length,
      items: section.match(/^ *(-|\d+\.) /gm)?.length,
      names: namesOf(section),
    }));
}

/** The anchors that GitHub gives to headings, and those that the page sets itself. */
function anchorsOf(page: string): string[] {
  const headings = [...proseOf(page).matchAll(/^#+ (.+)$/gm)].map(([, text = '']) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  );
  return [...headings, ...[...textOf(page).matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id)];
}

function linksOf(page: string): { link: string; path: string; anchor: string | undefined }[] {
  return [...proseOf(page).matchAll(/\]\(([^):]+)\)/g)].map(([, link = '']) => {
    const [file = '', anchor] = link.split('#');
    return { link, path: file === '' ? page : join(dirname(page), file), anchor };
  });
}

describe('the pages for operators', () => {
  it('are there in Chinese, too', () => {
    expect(FOR_OPERATORS.filter((page) => !translated.includes(page))).toEqual([]);
  });
});

describe.each(translated)('%s and its Chinese twin', (page) => {
  const chinese = chineseOf(page);

  it('link each other at the top', () => {
    const [top, topOfChinese] = [page, chinese].map((each) =>
      textOf(each).split('\n').slice(0, 5).join('\n'),
    );
    expect(top).toContain(`[简体中文](${basename(chinese)})`);
    expect(topOfChinese).toContain(`[English](${basename(page)})`);
  });

  it('have the same blocks of code', () => {
    expect(blocksOf(chinese)).toEqual(blocksOf(page));
  });

  it('have the same sections, with the same tables, lists and names', () => {
    expect(sectionsOf(chinese)).toEqual(sectionsOf(page));
  });

  it('keep their readers in their language', () => {
    const strays = linksOf(chinese).filter(
      ({ path }) => path !== page && pages.includes(path) && pages.includes(chineseOf(path)),
    );
    expect(strays.map(({ link }) => link)).toEqual([]);
  });
});

describe.each(pages)('the links of %s', (page) => {
  it('lead to what is there', () => {
    const dead = linksOf(page).filter(
      ({ path, anchor }) =>
        !existsSync(path) ||
        (anchor !== undefined && path.endsWith('.md') && !anchorsOf(path).includes(anchor)),
    );
    expect(dead.map(({ link }) => link)).toEqual([]);
  });
});
