import assert from 'node:assert/strict';
import { test } from 'node:test';
import { origin, type SinkRecord, type SnapshotRecord, type StartRecord } from '../../../src/pipeline/control-records.ts';
import { copyKey } from '../../../src/pipeline/log-state.ts';
import { isCopied, type CopyFacts } from '../../../src/pipeline/verify/copy-state.ts';

const table = { name: 'public.orders', relid: 5 };
const place = { epoch: 2, commitLsn: 10n };
const start: StartRecord = {
  type: 'start', logId: 'l', epoch: 3, startId: 's', systemIdentifier: '1', timeline: 1, slot: 'x', tables: [table.name], continues: null, gap: null,
};

function copy(more: Partial<SnapshotRecord> = {}): SnapshotRecord {
  return {
    type: 'snapshot', id: 'c', confirmed: true, table: table.name, relid: 5, key: ['id'], sink: null, ask: null, where: null, copy: 'c', first: true, last: true, ranges: [], rows: 1,
    rereads: [], from: 0, place, begin: place, visibility: null, ...more,
  };
}

function facts(more: Partial<CopyFacts>, ...copies: readonly SnapshotRecord[]): CopyFacts {
  return { snapshot: 'initial', start, sink: 'reporting', said: [], copies: new Map(copies.map((each) => [copyKey(each.table, each.sink), each])), ...more };
}

const ask = (id: string): SinkRecord => ({ type: 'ask', table: table.name, id });

test('a table is copied when the last piece of its copy is in the log', () => {
  assert.equal(isCopied(table, facts({}, copy())), true);
  assert.equal(isCopied(table, facts({}, copy({ last: false }))), false);
});

test('without a copy it is to be copied, unless the config wants none', () => {
  assert.equal(isCopied(table, facts({})), false);
  assert.equal(isCopied(table, facts({ snapshot: 'never' })), true);
});

test('a copy of a table that was dropped and made again is none', () => {
  assert.equal(isCopied({ ...table, relid: 6 }, facts({}, copy())), false);
});

test('a copy that the sink asked for is what counts for it, and must answer its newest ask', () => {
  const own = copy({ sink: 'reporting', ask: 'new' });
  assert.equal(isCopied(table, facts({ said: [ask('new')] }, copy())), false);
  assert.equal(isCopied(table, facts({ said: [ask('new')] }, copy(), own)), true);
  assert.equal(isCopied(table, facts({ said: [ask('new'), ask('newer')] }, copy(), own)), false);
  assert.equal(isCopied(table, facts({ said: [ask('new')] }, copy(), { ...own, last: false })), false);
});

test('what a sink asked for before it was forgotten does not count', () => {
  assert.equal(isCopied(table, facts({ said: [ask('old'), { type: 'forgotten' }] }, copy())), true);
});

test('a copy from before a gap that was let pass is to be made anew', () => {
  const behindGap = { ...start, gap: 'the slot was ahead' };
  assert.equal(isCopied(table, facts({ start: behindGap }, copy())), false);
  assert.equal(isCopied(table, facts({ start: behindGap }, copy({ place: { ...origin, epoch: 3 } }))), true);
});
