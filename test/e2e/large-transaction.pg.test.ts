import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { ledgerSetting } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';

const rows = 1_000_000;

test('a transaction of 1,000,000 rows passes in bounded memory, and is seen in a replica whole or not at all', { skip: process.platform === 'linux' ? false : 'platform: resident memory is read from /proc' }, async (t) => {
  const setting = await ledgerSetting(t, { schema: 'CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL); INSERT INTO t VALUES (0, \'before\')' });
  const { source, replica, daemon } = setting;
  daemon.start();
  await daemon.streaming();
  await setting.equal(['t']);
  await source.sql(`INSERT INTO t SELECT n, repeat(md5(n::text), 3) FROM generate_series(1, ${rows}) n`);
  const seen = new Set<number>();
  await eventually(async () => {
    const [row] = await replica.sql<{ n: string }>('SELECT count(*) AS n FROM t');
    seen.add(Number(row?.n));
    const { sinks } = await daemon.status();
    return seen.has(rows + 1) && sinks.every((sink) => sink.state === 'current' && sink.applied >= rows);
  }, { timeoutMs: 120_000, what: () => `the transaction in both replicas; the daemon said ${daemon.output.slice(-1500)}` });
  assert.deepEqual([...seen].toSorted((a, b) => a - b), [1, rows + 1]);
  const memory = await readFile(`/proc/${daemon.pid}/status`, 'utf8');
  const mib = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(memory)?.[1]) / 1024;
  // Without the pages of node's own file: they are shared, and how many are mapped is the kernel's affair (68 MiB were seen).
  const peak = mib('VmHWM') - mib('RssFile');
  t.diagnostic(`peak resident memory ${Math.round(peak)} MiB, and ${Math.round(mib('RssFile'))} MiB of the program's file`);
  assert.ok(peak < 256, `peak resident memory was ${Math.round(peak)} MiB`);
});
