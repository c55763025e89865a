import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SinkVerification, TableReport } from '../../src/app/verify.ts';
import { createStyle } from '../../src/cli/terminal.ts';
import { renderSinkSummary, renderTable } from '../../src/cli/verify-report.ts';
import { emptyReport } from '../../src/pipeline/verify/report.ts';
import { tailrace } from './fake-terminal.ts';
import { logWith } from './log-fixture.ts';

const style = createStyle(false);
const row = { key: null, columns: [], hash: null, source: null, replica: null } as const;

function table(state: TableReport['state'], more: Partial<TableReport> = {}): string {
  return renderTable({ ...emptyReport('public.orders', state), ...more }, style);
}

test('an equal table is one line with its rows', () => {
  assert.equal(table('equal', { rows: 1_000_000 }), '  equal     public.orders  1,000,000 rows');
  assert.equal(table('equal', { rows: 1 }), '  equal     public.orders  1 row');
});

test('each row that differs is named by its key and how it differs, and the rest is counted', () => {
  const differences = [
    { ...row, kind: 'missing', key: { id: '1' } },
    { ...row, kind: 'changed', key: { region: 'eu', id: '7' }, columns: ['total', 'note'] },
    { ...row, kind: 'extra', key: { id: 'a\u001b[31m\nb' } },
    { ...row, kind: 'count', hash: '00ff00ff00ff00ff', source: 2, replica: 1 },
  ] as const;
  assert.equal(
    table('different', { rows: 1000, differing: 30, differences, unsettled: 2 }),
    `  DIFFERS   public.orders  30 rows of 1,000
            id=1 is missing in the replica
            region=eu, id=7 differs in total, note
            id=a\\u001b[31m\\nb is in the replica alone
            rows with the hash 00ff00ff00ff00ff: 2 at the source, 1 in the replica
            and 26 rows more
            2 rows changed whenever they were looked at`,
  );
});

test('a table or a column that is missing as a whole is said so', () => {
  assert.equal(table('different', { rows: 7, tableMissing: true }), '  DIFFERS   public.orders  the replica has no such table; the source has 7 rows');
  assert.equal(table('different', { rows: 7, columnsMissing: ['a', 'b'] }), '  DIFFERS   public.orders  missing in the replica: columns a, b');
  assert.equal(
    table('different', { rows: 7, differing: 1, more: true, columnsMissing: ['a'], differences: [{ ...row, kind: 'missing', key: { id: '1' } }] }),
    '  DIFFERS   public.orders  at least 1 row of 7; missing in the replica: column a\n            id=1 is missing in the replica',
  );
});

test('what is open says why', () => {
  assert.match(table('unconfirmed', { unconfirmed: 1 }), /^ {2}open {6}public\.orders {2}1 row differs, and the replica has not come far enough/);
  assert.match(table('unsettled', { unsettled: 3, notes: ['a transaction is open'] }), /3 rows changed whenever[^]*\n {12}a transaction is open$/);
});

test('a sink ends with its count, its blocked keys and where it stands still', () => {
  const verification: SinkVerification = {
    sink: 'reporting', tables: [emptyReport('public.a', 'equal'), emptyReport('public.b', 'unconfirmed')], error: null,
    blocked: [{ table: 'public.a', key: '["7"]' }, { table: 'public.c', key: null }],
    standstill: { reason: 'stalled', endLsn: '0/1A', lagBytes: 2048 },
  };
  assert.equal(
    renderSinkSummary(verification, style),
    `  BLOCKED   public.a  ["7"] waits for a dead letter to be retried
  BLOCKED   public.c  the whole table waits for a dead letter to be retried
  reporting does not move; it stands at 0/1A, 2.0 KiB of WAL behind. See tailrace status, or allow it more time with --timeout
  2 tables: 1 equal, 1 open; 2 blocked`,
  );
});

test('wrong usage says what there is', async () => {
  const { file, writer } = await logWith([]);
  await writer.close();
  const cases = [
    [['--sink', 'lcoal'], /there is no sink lcoal, did you mean local\?/],
    [['--table', 'orders'], /orders is no table[^]*schema\.table/],
    [['--timeout', '60'], /--timeout: .*duration such as/],
  ] as const;
  for (const [args, says] of cases) {
    const { code, err } = await tailrace(['verify', file, ...args]);
    assert.match(err, says);
    assert.equal(code, 2);
  }
});

test('a source that cannot be reached is an error of the environment, in JSON too', async () => {
  const { file, writer } = await logWith([]);
  await writer.close();
  const { code, err } = await tailrace(['verify', file]);
  assert.equal(code, 3);
  assert.match(err, /shop: connecting to the source 127\.0\.0\.1:1\/x: /);
  const { out } = await tailrace(['verify', file, '--json']);
  assert.equal((JSON.parse(out) as { error: { code: string } }[])[0]?.error.code, 'source-unreachable');
});

test('a pipeline that was never run has nothing to compare', async () => {
  const { file, writer } = await logWith([]);
  await writer.close();
  const { readFileSync, writeFileSync } = await import('node:fs');
  writeFileSync(file, readFileSync(file, 'utf8').replace('/log }', '/none }'));
  const { code, err } = await tailrace(['verify', file]);
  assert.equal(code, 3);
  assert.match(err, /log/);
});
