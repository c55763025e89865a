import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tempDirectory } from '../support/temp.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Runs `npm test -- sample` in a project that holds nothing but this test file. */
async function runner(
  t: TestContext,
  body: string,
  environment: NodeJS.ProcessEnv = {},
): Promise<{ code: number | null; text: string; lastLine: string }> {
  const project = await tempDirectory(t);
  for (const folder of ['bin', 'scripts']) cpSync(join(root, folder), join(project, folder), { recursive: true });
  mkdirSync(join(project, 'test'));
  writeFileSync(join(project, 'test', 'sample.test.ts'), `import { describe, test } from 'node:test';\n${body}`);
  // Without NODE_TEST_CONTEXT: the runner would take itself for a test file of ours.
  const env = { PATH: process.env['PATH'], ...environment };
  const done = spawnSync(process.execPath, [join(project, 'scripts', 'test.mjs'), 'sample'], { encoding: 'utf8', env });
  const text = `${done.stdout}${done.stderr}`;
  return { code: done.status, text, lastLine: done.stdout.trimEnd().split('\n').at(-1) ?? '' };
}

test('leaves are counted, and the last line says how many passed and failed', async (t) => {
  const body = `test('a', () => {});
    test('parent', async (t) => { await t.test('child', () => {}); await t.test('child 2', () => {}); });
    describe('suite', () => { test('b', () => {}); });`;
  const { code, lastLine } = await runner(t, body);
  assert.equal(lastLine, '4 passed, 0 failed');
  assert.equal(code, 0);
});

test('a failed test is named with its place and its error, and its parent is not counted again', async (t) => {
  const body = `test('parent', async (t) => { await t.test('child', () => { throw new Error('out of luck'); }); });`;
  const { code, lastLine, text } = await runner(t, body);
  assert.equal(lastLine, '0 passed, 1 failed');
  assert.equal(code, 1);
  assert.match(text, /test\/sample\.test\.ts:2 {2}child\n\s+Error: out of luck/);
});

test('a skip is said with its reason, and fails in CI unless the reason is one that machines rightly lack', async (t) => {
  const body = `test('a', { skip: 'docker: no engine' }, () => {}); test('b', { skip: 'too slow' }, () => {});`;
  const here = await runner(t, body);
  assert.equal(here.lastLine, '0 passed, 0 failed, 2 skipped');
  assert.match(here.text, /SKIPPED .*a: docker: no engine/);
  const ci = await runner(t, body, { CI: 'true' });
  assert.equal(ci.lastLine, '0 passed, 1 failed, 1 skipped');
  assert.equal(ci.code, 1);
});

test('a file that cannot be loaded, ends itself or holds no test is a failure', async (t) => {
  for (const body of [`import './missing.ts';`, `process.exit(0);`, `export const nothing = 1;`]) {
    const { code, lastLine, text } = await runner(t, body);
    assert.equal(lastLine, '0 passed, 1 failed', text);
    assert.equal(code, 1);
  }
});

test('an exception after the last test is a failure', async (t) => {
  const { lastLine, text } = await runner(
    t,
    `test('a', () => { setTimeout(() => { throw new Error('too late'); }, 20); });`,
  );
  assert.equal(lastLine, '1 passed, 1 failed', text);
  assert.match(text, /too late/);
});

test('a pattern that fits no file is a failure', async (t) => {
  const project = await tempDirectory(t);
  for (const folder of ['bin', 'scripts']) cpSync(join(root, folder), join(project, folder), { recursive: true });
  mkdirSync(join(project, 'test'));
  const done = spawnSync(process.execPath, [join(project, 'scripts', 'test.mjs'), 'nowhere'], { encoding: 'utf8' });
  assert.equal(done.status, 1);
  assert.match(done.stdout, /\n0 passed, 1 failed\n$/);
});
