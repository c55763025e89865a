import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));

// Docs and messages that name files rot first: each name is held against the tree.

function filesUnder(folder: string, extension: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  const all = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return all.filter((file) => file.endsWith(extension)).map((file) => join(folder, file));
}

const pages = [...readdirSync(root).filter((file) => file.endsWith('.md')), ...filesUnder('docs', '.md')];
const scripts = Object.keys((JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object }).scripts);

/** What is wrong with the names in a page; `file` is relative to the root. */
function problemsOf(file: string, markdown: string): string[] {
  const prose = markdown.replace(/^```[\s\S]*?^```/gm, '');
  const links = [...prose.matchAll(/\]\(\s*<?([^)\s>]+)/g)].map((match) => match[1] ?? '');
  const paths = [...prose.matchAll(/`\.?\/?((?:src|test|docs|bin|bench|scripts|\.ci)\/[\w./-]*)`/g)].map(
    (match) => match[1] ?? '',
  );
  const named = [...markdown.matchAll(/\bnpm run ([\w:-]+)/g)].map((match) => match[1] ?? '');
  return [
    ...links.filter((link) => !/^[a-z]+:/.test(link)).flatMap((link) => linkProblem(file, link)),
    ...paths.filter((path) => !existsSync(join(root, path))).map((path) => `${file} names ${path}, which is not there`),
    ...named.filter((name) => !scripts.includes(name)).map((name) => `${file} names npm run ${name}, which is not there`),
  ];
}

function linkProblem(file: string, link: string): string[] {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? join(root, file) : resolve(root, dirname(file), decodeURIComponent(path));
  if (!existsSync(target)) return [`${file} links to ${link}, which is not there`];
  if (relative(root, target).startsWith('..')) return [`${file} links to ${link}, outside of the repository`];
  if (anchor === undefined || statSync(target).isDirectory()) return [];
  return anchorsOf(readFileSync(target, 'utf8')).includes(anchor) ? [] : [`${file} links to ${link}: no such heading`];
}

/** As GitHub makes them from headings. */
function anchorsOf(markdown: string): string[] {
  const headings = [...markdown.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)];
  return headings.map((match) =>
    (match[1] ?? '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

for (const page of pages) {
  test(`${page} names only what is there`, () => {
    assert.deepEqual(problemsOf(page, readFileSync(join(root, page), 'utf8')), []);
  });
}

test('every page that the code points to is there, with its chapter', () => {
  const problems: string[] = [];
  for (const file of filesUnder('src', '.ts')) {
    for (const [, path = '', chapter] of readFileSync(join(root, file), 'utf8').matchAll(
      /(docs\/[\w./-]+\.md)(?:, ([A-Z][\w ]*))?/g,
    )) {
      if (!existsSync(join(root, path))) problems.push(`${file} names ${path}, which is not there`);
      else if (chapter !== undefined && !readFileSync(join(root, path), 'utf8').includes(`# ${chapter}`)) {
        problems.push(`${file} names ${path}, ${chapter}: no such heading`);
      }
    }
  }
  assert.deepEqual(problems, []);
});

/** Places in docs/protocol.md and docs/design.md that a comment names: `PROTOCOL, END: The range`, `DESIGN, rule 7`. */
function chapterProblems(file: string, source: string): string[] {
  const text = source.replace(/\s*\n\s*(?:\*|\/\/)?\s*/g, ' ');
  const named = [...text.matchAll(/\b(PROTOCOL|DESIGN),? (?:rule (\d)|([A-Z][A-Za-z]+(?: (?!and\b)[a-z]+)*))(?:: ([A-Z][a-z]+(?: [a-z]+)*))?/g)];
  return named.flatMap(([all, page = '', rule, chapter, paragraph]) => {
    const markdown = readFileSync(join(root, 'docs', `${page.toLowerCase()}.md`), 'utf8');
    const found = rule === undefined ? new RegExp(`^#+ ${chapter}$`, 'm').test(markdown) : new RegExp(`^${rule}\\. \\*\\*`, 'm').test(markdown);
    return found && (paragraph === undefined || markdown.includes(`**${paragraph}`)) ? [] : [`${file} names ${all}`];
  });
}

test('every chapter, paragraph and rule of the protocol and the design that a comment names is there', () => {
  const files = [...filesUnder('src', '.ts'), ...filesUnder('test', '.ts'), ...filesUnder('bench', '.ts')].filter((file) => !file.endsWith('docs-links.test.ts'));
  assert.deepEqual(files.flatMap((file) => chapterProblems(file, readFileSync(join(root, file), 'utf8'))), []);
  const comment = '/**\n * (PROTOCOL, END: The\n * range); PROTOCOL, Nowhere; PROTOCOL, END: No such thing; DESIGN rule 9; DESIGN, rule 1; PROTOCOL, START and END\n */';
  assert.deepEqual(chapterProblems('x', comment), ['x names PROTOCOL, Nowhere', 'x names PROTOCOL, END: No such thing', 'x names DESIGN rule 9']);
});

test('a dead link, a dead anchor, a dead path and a dead script are found', () => {
  const page =
    '[a](nowhere.md) [b](#no-such-heading) [c](https://example.org/x) `src/nowhere.ts` npm run nowhere\n```\n[d](in-code.md)\n```';
  assert.deepEqual(problemsOf('package.json', page), [
    'package.json links to nowhere.md, which is not there',
    'package.json links to #no-such-heading: no such heading',
    'package.json names src/nowhere.ts, which is not there',
    'package.json names npm run nowhere, which is not there',
  ]);
});
