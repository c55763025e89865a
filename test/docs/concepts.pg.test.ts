import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { TestDaemon } from '../support/daemon.ts';
import { blocks, PageRun, workplace } from '../support/page-run.ts';
import { freshDatabase } from '../support/postgres.ts';

test('docs/concepts.md: every command and what it prints', async (t) => {
  const directory = await workplace(t);
  const source = await freshDatabase(t);
  const daemon = await TestDaemon.create(t, directory, '');
  const page = new PageRun({ source, daemon, directory, environment: { SHOP_DATABASE_URL: source.url } });
  for (const block of blocks(await readFile(new URL('../../docs/concepts.md', import.meta.url), 'utf8'))) await page.play(block);
  assert.equal(await daemon.stop(), 0);
});
