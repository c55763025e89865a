import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReplicaTable } from '../../../src/sink/postgres/catalog.ts';
import { mismatches, type WantedTable } from '../../../src/sink/postgres/fit.ts';
import { isOlder, recordOf, shapeChange } from '../../../src/sink/postgres/shape-change.ts';
import { altered, tableOf, type TableSpec } from '../../contract/sink-samples.ts';

const table = tableOf({ columns: [['id', 'integer'], ['a', 'text'], ['b', 'text']] });
const become = (spec: Omit<TableSpec, 'name'>): object => {
  const { added, dropped, changed, keyChanged } = shapeChange(recordOf(table, null), recordOf(altered(table, spec), null));
  return { added, dropped, changed: changed.map(({ what, before, after }) => `${before.name} ${what} ${after.name}`), keyChanged };
};
const same = { added: [], dropped: [], changed: [], keyChanged: false };

test('columns are told apart by attnum, wherever they stand', () => {
  assert.deepEqual(become({ columns: [['b', 'text'], ['id', 'integer'], ['a', 'text']], attnums: [3, 1, 2], key: [1] }), same);
  assert.deepEqual(become({ columns: [['id', 'integer'], ['a', 'text'], ['b', 'text'], ['c', 'text']] }), { ...same, added: ['c'] });
  assert.deepEqual(become({ columns: [['id', 'integer'], ['b', 'text']], attnums: [1, 3] }), { ...same, dropped: ['a'] });
  assert.deepEqual(become({ columns: [['id', 'integer'], ['a', 'text'], ['b', 'text']], attnums: [1, 2, 4] }), { ...same, added: ['b'], dropped: ['b'] });
});

test('renamed and retyped columns and another key are no additions', () => {
  assert.deepEqual(become({ columns: [['id', 'integer'], ['b', 'text'], ['a', 'text']] }), { ...same, changed: ['a renamed b', 'b renamed a'] });
  assert.deepEqual(become({ columns: [['id', 'bigint'], ['a', 'text'], ['b', 'text']] }), { ...same, changed: ['id retyped id'] });
  assert.deepEqual(become({ columns: table.columns.map(({ name, type }) => [name, type]), key: [1] }), { ...same, keyChanged: true });
  assert.deepEqual(become({ columns: [['key', 'integer'], ['a', 'text'], ['b', 'text']] }), { ...same, changed: ['id renamed key'] });
});

test('what is left out is compared too', () => {
  const left = recordOf(table, Uint8Array.of(0, 1, 0));
  assert.deepEqual(shapeChange(left, recordOf(table, null)).changed.map(({ what }) => what), ['no longer left out']);
  assert.deepEqual(shapeChange(recordOf(table, null), left).changed.map(({ what }) => what), ['left out']);
  const renamed = altered(table, { columns: [['id', 'integer'], ['z', 'bytea'], ['b', 'text']] });
  assert.deepEqual(shapeChange(left, recordOf(renamed, Uint8Array.of(0, 1, 0))), { ...same, droppedAt: {}, keyBefore: ['id'], otherTable: false });
});

test('versions are ordered by epoch first', () => {
  assert.ok(isOlder({ epoch: 1, number: 9 }, { epoch: 2, number: 1 }));
  assert.ok(!isOlder({ epoch: 2, number: 1 }, { epoch: 1, number: 9 }));
  assert.ok(isOlder({ epoch: 1, number: 1 }, { epoch: 1, number: 2 }));
  assert.ok(!isOlder({ epoch: 1, number: 2 }, { epoch: 1, number: 2 }));
});

test('every mismatch of a table that is there is named', () => {
  const column = (name: string, type: string, more: object = {}): ReplicaTable['columns'][number] => ({ name, attnum: 1, type, bare: type.replace(/\(.*/, ''), notNull: false, filled: false, fixed: false, ...more });
  const found: ReplicaTable = {
    kind: 'r', triggers: false, foreignKeys: false, referenced: false,
    columns: [
      column('id', 'integer', { notNull: true }), column('plain', 'numeric'), column('wide', 'text'), column('narrow', 'numeric(5,2)'),
      column('must', 'text', { notNull: true }), column('made', 'text', { fixed: true }), column('own', 'date', { notNull: true }), column('filled', 'date', { notNull: true, filled: true }),
    ],
    uniques: [{ name: 'other', columns: ['id', 'wide'], equals: [], constraint: null }],
  };
  const want = (name: string, type: string, index: number): WantedTable['columns'][number] => ({ index, name, type: { type, bare: type.replace(/\(.*/, '') }, nullable: name !== 'id' });
  const wanted: WantedTable = {
    columns: [want('id', 'integer', 0), want('plain', 'numeric(10,2)', 1), want('wide', 'jsonb', 2), want('narrow', 'numeric(10,2)', 3), want('must', 'text', 4), want('made', 'text', 5), want('lost', 'text', 6)],
    key: ['id'],
  };
  assert.deepEqual(mismatches(wanted, found), [
    'column narrow is of type numeric(5,2), not numeric(10,2)',
    'column must is NOT NULL, but may be NULL at the source',
    'column made is generated, so that no value can be given',
    'column lost is missing',
    'column own, which the source does not have, is NOT NULL and has no default',
    'it has no primary key or unique index on the key (id)',
  ]);
  assert.deepEqual(mismatches(wanted, { ...found, kind: 'v' }), ['it is a view']);
  assert.deepEqual(mismatches({ columns: [], key: ['wide', 'id'] }, { ...found, columns: [] }), []);
  assert.deepEqual(mismatches({ columns: [], key: [] }, { ...found, columns: [] }), ["the source's table has no key, but it has the unique index other"]);
});
