import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotRecord } from '../../src/pipeline/control-records.ts';
import { CopiedFilter } from '../../src/pipeline/copied-filter.ts';
import { copyRecord } from './written-log.ts';

const copyOf = (relid: number, visibility: SnapshotRecord['visibility']): SnapshotRecord => copyRecord('public.t', { relid, visibility });

test('snapshots: without a key, what the copy saw is left out, and what it did not see is not', () => {
  const filter = new CopiedFilter();
  assert.equal(filter.isEmpty, true);
  filter.add(copyOf(5, { xmin: '700', xmax: '710', running: ['702', '705'], lsn: 100n }));
  assert.deepEqual([699, 700, 702, 704, 705, 709, 710, 711].filter((xid) => filter.isCopied(5, xid)), [699, 700, 704, 709]);
  assert.equal(filter.isCopied(5, 702), false, 'it was running');
  assert.equal(filter.isCopied(5, 710), false, 'it began later');
  assert.equal(filter.isCopied(6, 699), false, 'another table');
});

test('snapshots: without a key, it holds until the stream has passed the LSN that was read behind the snapshot, each table for itself', () => {
  const filter = new CopiedFilter();
  filter.add(copyOf(5, { xmin: '700', xmax: '700', running: [], lsn: 100n }));
  filter.add(copyOf(6, { xmin: '700', xmax: '700', running: [], lsn: 200n }));
  filter.passed(100n);
  assert.equal(filter.isCopied(5, 1), true, 'a commit at the LSN itself can still be visible');
  filter.passed(101n);
  assert.deepEqual([filter.isCopied(5, 1), filter.isCopied(6, 1)], [false, true]);
  filter.passed(201n);
  assert.equal(filter.isEmpty, true);
});

test('snapshots: ids of 64 bits are compared by the 32 that the stream sends, over their wrap too', () => {
  const filter = new CopiedFilter();
  const epoch = 3n << 32n;
  filter.add(copyOf(5, { xmin: String(epoch + 2n), xmax: String(epoch + 6n), running: [String(epoch + 4n)], lsn: 100n }));
  assert.deepEqual([0xffff_fff0, 1, 3, 4, 5, 6].map((xid) => filter.isCopied(5, xid)), [true, true, true, false, true, false]);
});

test('snapshots: a copy in chunks has no such filter', () => {
  const filter = new CopiedFilter();
  filter.add(copyOf(5, null));
  assert.equal(filter.isEmpty, true);
});
