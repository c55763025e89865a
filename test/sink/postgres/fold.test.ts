import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RowChange } from '../../../src/event/change.ts';
import type { TableSchema } from '../../../src/event/table.ts';
import { tupleTexts } from '../../../src/event/tuple.ts';
import { Bag } from '../../../src/sink/postgres/bag.ts';
import { Fold } from '../../../src/sink/postgres/fold.ts';
import type { Image } from '../../../src/sink/postgres/images.ts';
import type { TableChanges, TableOperation } from '../../../src/sink/sink.ts';
import { insert, rekey, remove, tableOf, update, updateFull } from '../../contract/sink-samples.ts';

const table = tableOf({ columns: [['id', 'integer'], ['a', 'text'], ['b', 'text']] });
const texts = (image: Image): unknown => tupleTexts(image.bytes, image.at);

/** What a sequence comes to, with images as texts; deletes as keys. */
function fold(list: readonly TableOperation[], coverage: TableChanges['coverage'] = 'complete', leftOut: Uint8Array | null = null): object {
  const folding = new Fold(table, { leftOut, coverage });
  const said = list.map((change) => folding.add(change as RowChange<TableSchema>)).filter((word) => word !== 'folded');
  const { deletes, expectedDeletes, inserts, upserts, updates } = folding.result();
  const keys = (images: readonly Image[]): unknown[] => images.map((image) => tupleTexts(image.bytes, image.at)[0]);
  return {
    ...(said.length > 0 ? { said } : {}),
    ...(deletes.length > 0 ? { deletes: keys(deletes) } : {}),
    ...(expectedDeletes.length > 0 ? { expectedDeletes: keys(expectedDeletes) } : {}),
    ...(inserts.length > 0 ? { inserts: inserts.map(texts) } : {}),
    ...(upserts.length > 0 ? { upserts: upserts.map(texts) } : {}),
    ...(updates.length > 0 ? { updates: updates.map(({ present, rows }) => [present, rows.map(texts)]) } : {}),
  };
}

test('what a change takes for granted is still looked for when a later one makes it void', () => {
  const part = update(table, ['1', 'A', undefined]);
  assert.deepEqual(fold([part]), { updates: [[[0, 1], [['1', 'A', undefined]]]] });
  assert.deepEqual(fold([part, remove(table, ['1', '', ''])]), { expectedDeletes: ['1'] });
  assert.deepEqual(fold([part, update(table, ['1', 'B', 'C'])]), { updates: [[[0, 1, 2], [['1', 'B', 'C']]]] });
  assert.deepEqual(fold([part, remove(table, ['1', '', '']), insert(table, ['1', 'B', 'C'])]), { updates: [[[0, 1, 2], [['1', 'B', 'C']]]] });
  assert.deepEqual(fold([part, update(table, ['1', 'B', 'C'])], 'copying'), { upserts: [['1', 'B', 'C']] });
});

test('a row that a batch itself has made is told from rows that the replica may have, as long as its table is complete', () => {
  const made = insert(table, ['1', 'a', 'b']);
  const known = update(table, ['2', 'c', 'd']);
  assert.deepEqual(fold([made, known]), { inserts: [['1', 'a', 'b']], upserts: [['2', 'c', 'd']] });
  assert.deepEqual(fold([made, known], 'copying'), { upserts: [['1', 'a', 'b'], ['2', 'c', 'd']] });
  assert.deepEqual(fold([made, update(table, ['1', 'x', undefined])]), { inserts: [['1', 'x', 'b']] });
  assert.deepEqual(fold([made, remove(table, ['1', '', '']), made]), { upserts: [['1', 'a', 'b']] });
  assert.deepEqual(fold([remove(table, ['1', '', '']), made]), { upserts: [['1', 'a', 'b']] });
  assert.deepEqual(fold([made, rekey(table, ['1', '', ''], ['2', 'e', 'f'])]), { deletes: ['1'], upserts: [['2', 'e', 'f']] });
});

test('a key change without all columns stands alone when only the replica has its row', () => {
  const move = rekey(table, ['1', '', ''], ['2', 'A', undefined]);
  assert.deepEqual(fold([move]), { said: ['alone'] });
  assert.deepEqual(fold([update(table, ['1', 'x', undefined]), move]), { said: ['alone'], updates: [[[0, 1], [['1', 'x', undefined]]]] });
  assert.deepEqual(fold([insert(table, ['1', 'x', 'y']), move]), { deletes: ['1'], upserts: [['2', 'A', 'y']] });
  assert.deepEqual(fold([remove(table, ['1', '', '']), move]), { said: ['missing'], deletes: ['1'] });
});

test('rows are grouped by the columns that came, and columns that the replica lacks need not come', () => {
  const list = [update(table, ['1', 'A', undefined]), update(table, ['2', undefined, 'B']), update(table, ['3', 'C', undefined])];
  assert.deepEqual(fold(list), { updates: [[[0, 1], [['1', 'A', undefined], ['3', 'C', undefined]]], [[0, 2], [['2', undefined, 'B']]]] });
  assert.deepEqual(fold(list, 'complete', Uint8Array.of(0, 0, 1)), { upserts: [['1', 'A', undefined], ['3', 'C', undefined]], updates: [[[0], [['2', undefined, 'B']]]] });
});

test('deletes of rows that may be missing are counted where the table is partial', () => {
  assert.deepEqual(fold([remove(table, ['1', '', ''])]), { deletes: ['1'] });
  assert.deepEqual(fold([remove(table, ['1', '', ''])], 'partial'), { expectedDeletes: ['1'] });
  assert.deepEqual(fold([insert(table, ['1', 'a', 'b']), remove(table, ['1', '', ''])], 'partial'), { deletes: ['1'] });
  assert.deepEqual(fold([remove(table, ['1', '', '']), remove(table, ['1', '', ''])], 'partial'), { said: ['missing'], expectedDeletes: ['1'] });
});

test('a key that is too long to be sent again is taken from the old key', () => {
  const long = rekey(table, ['1', '', ''], [undefined, 'A', 'B']);
  assert.deepEqual(fold([long]), { upserts: [['1', 'A', 'B']] });
});

test('a bag takes away what was there before it adds, and lets what came and went cancel out', () => {
  const logs = tableOf({ columns: [['n', 'integer'], ['w', 'text']], key: [], name: 'logs' });
  const bag = new Bag([0, 1]);
  const a = ['1', 'a'];
  const list = [remove(logs, a), insert(logs, a), insert(logs, a), updateFull(logs, a, ['1', undefined]), insert(logs, ['2', 'b']), remove(logs, ['2', 'b'])];
  for (const change of list) bag.add(change as RowChange<TableSchema>);
  const { deletes, inserts } = bag.result();
  assert.deepEqual(deletes.map(({ image, count }) => [texts(image), count]), [[a, 1]]);
  assert.deepEqual(inserts.map(({ image, count }) => [texts(image), count]), [[a, 2]]);
});
