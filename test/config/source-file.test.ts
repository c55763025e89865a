import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { formatProblem, MAX_FILE_BYTES, readSourceFile, sourceFile } from '../../src/config/source-file.ts';
import { tempDirectory } from '../support/temp.ts';

async function read(bytes: Uint8Array | string): Promise<string> {
  const path = join(await tempDirectory(), 'shop.yaml');
  await writeFile(path, bytes);
  const file = readSourceFile(path);
  return 'text' in file ? `text ${JSON.stringify(file.text)}` : file.message;
}

describe('a connector file as bytes', () => {
  test('a byte order mark is no part of the text', async () => assert.equal(await read('\ufeffa: 1'), 'text "a: 1"'));
  test('UTF-16 is named, with and without a byte order mark', async () => {
    assert.match(await read(Buffer.from('\ufeffa: 1', 'utf16le')), /UTF-16/);
    assert.match(await read(Buffer.from('a: 1', 'utf16le')), /UTF-16/);
    assert.match(await read(Buffer.from('a: 1', 'utf16le').swap16()), /UTF-16/);
  });
  test('bytes that are no UTF-8 are refused, not replaced', async () => assert.match(await read(Buffer.from([0x61, 0xe9, 0x3a])), /not valid UTF-8/));
  test('a file over the limit is refused before it is parsed', async () => {
    assert.match(await read(Buffer.alloc(MAX_FILE_BYTES + 1, '#')), /larger than 1 MB/);
    assert.match(await read(Buffer.alloc(MAX_FILE_BYTES, '#')), /^text/);
  });

  test('a missing file is named with the path that was tried', () => {
    const file = readSourceFile('no/such.yaml');
    assert.ok(!('text' in file));
    assert.match(formatProblem(file), /^no\/such.yaml: there is no such file\n {2}→ looked for \/.*no\/such.yaml/);
  });
  test('a folder is no file', async () => {
    const file = readSourceFile(await tempDirectory());
    assert.ok(!('text' in file) && /folder/.test(file.message));
  });
  test('a file that may not be read says so', { skip: process.getuid?.() === 0 && 'platform: root may read everything' }, async () => {
    const path = join(await tempDirectory(), 'a.yaml');
    await writeFile(path, 'a: 1');
    await chmod(path, 0);
    const file = readSourceFile(path);
    assert.ok(!('text' in file) && /may not be read/.test(file.message));
  });
  test('a named pipe does not hang the reader', async () => {
    const folder = await tempDirectory();
    await mkdir(join(folder, 'x'));
    const { execFileSync } = await import('node:child_process');
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    const file = readSourceFile(join(folder, 'pipe'));
    assert.ok('text' in file ? file.text === '' : true);
  });
});

describe('what an excerpt shows', () => {
  const shown = (text: string, at: string): string => sourceFile('f.yaml', text).problem(text.indexOf(at), { path: '', message: 'm' }).excerpt ?? '';

  for (const [title, text, at] of [
    ['a url', 'url: postgres://u:s3cr3t@h/d', 'url'],
    ['a password', '  password: "s3cr3t"', 'password'],
    ['a password in a flow map', 'source: { type: x, password: s3cr3t }', 'type'],
    ['the default of a reference', 'url: ${A:-postgres://u:s3cr3t@h/d}', 'url'],
    ['a url under any key', 'foo: postgres://u:s3cr3t@h/d', 'foo'],
    ['a password that goes on in the next line', 'password: "a\n  s3cr3t"', 's3cr3t'],
    ['a password in a block', 'password: |\n  s3cr3t\nname: x', 's3cr3t'],
    ['a password on the line below its key', 'api_token:\n  s3cr3t', 's3cr3t'],
    ['a key in quotes', '"password": s3cr3t', 'password'],
  ] as const) {
    test(`never ${title}`, () => {
      assert.ok(!shown(text, at).includes('s3cr3t'), shown(text, at));
    });
  }

  test('the name of a variable stays visible', () => assert.match(shown('url: ${SHOP_URL}', 'url'), /url: \$\{SHOP_URL\}/));
  test("a list item's other keys stay visible behind a url", () => {
    assert.match(shown('sinks:\n  - url: postgres://u:p@h/d\n    name: x', 'name'), /name: x/);
  });
  test('control characters are written as escapes', () => assert.ok(!shown('a: \u001b[31mred', 'a').includes('\u001b')));
  test('a long line is cut around its place', () => {
    const excerpt = shown(`${'x'.repeat(5000)}HERE${'y'.repeat(5000)}`, 'HERE');
    assert.ok(excerpt.includes('HERE') && excerpt.length < 300);
  });
});
