import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CatalogColumn } from '../../../src/source/postgres/catalog.ts';
import type { Relation } from '../../../src/source/postgres/relation.ts';
import { describesSame, isCurrent, shapeOfRelation, type StreamTable } from '../../../src/source/postgres/stream-catalog.ts';
import { parseVisibility, StreamedTransactions } from '../../../src/source/postgres/transactions.ts';

/** Columns as `name@attnum`, with `*` for those of the identity. */
function relation(columns: string, replicaIdentity: Relation['replicaIdentity'] = 'default'): Relation {
  return {
    relid: 1, schema: 'public', name: 'a', replicaIdentity,
    columns: columns.split(' ').map((column) => ({ name: column.replace('*', ''), identity: column.endsWith('*'), typeOid: 25, typmod: -1 })),
  };
}

function catalog(columns: string, changes: Partial<StreamTable> = {}): StreamTable {
  const read = (column: string): CatalogColumn => {
    const [name = '', attnum] = column.replace('+', '').split('@');
    return { name, attnum: Number(attnum), typeOid: 25, typmod: -1, type: 'text', baseTypeOid: 25, notNull: true, generated: column.endsWith('+') ? 'stored' : null };
  };
  return { columns: columns.split(' ').map(read), primaryKey: [1], identityIndex: null, listed: null, ...changes };
}

for (const [sent, now, current] of [
  ['id* v', 'id@1 v@2', true],
  ['id* v', 'id@1 v@5', true],
  ['id* v', 'id@1 v@2 w@3', false],
  ['id* v w', 'id@1 v@2', false],
  ['id* v u', 'id@1 u@2 v@3', false],
  ['id* v', 'id@1 v@2 g@3+', true],
  ['id* v g', 'id@1 v@2 g@3+', true],
] as const) {
  test(`a Relation of ${sent} is ${current ? '' : 'not '}of a table with ${now}`, () => assert.equal(isCurrent(relation(sent), catalog(now)), current));
}

test("a publication's column list says which columns are sent", () => {
  assert.equal(isCurrent(relation('id* w'), catalog('id@1 v@2 w@3', { listed: [1, 3] })), true);
  assert.equal(isCurrent(relation('id* v w'), catalog('id@1 v@2 w@3', { listed: [1, 3] })), false);
});

for (const [sent, now, attnums] of [
  ['id* v', 'id@1 v@2', [1, 2]],
  ['id* v', 'id@1 w@2', [1, null]],
  // The names have changed places since: each would get the other's number.
  ['id* v u', 'id@1 u@2 v@3', [null, null, null]],
  ['id* v', 'id@1', [1, null]],
] as const) {
  test(`of a Relation of ${sent}, a table with ${now} confirms ${JSON.stringify(attnums)}`, () => {
    assert.deepEqual(shapeOfRelation(relation(sent), catalog(now), []).columns.map((column) => column.attnum), attnums);
  });
}

for (const [sent, identity, changes, key] of [
  ['id* v', 'default', {}, [0]],
  ['a* b*', 'default', { primaryKey: [2, 1] }, [1, 0]],
  // The catalog has another key by now: the Relation knows which columns it was, though not their order.
  ['a* b*', 'default', { primaryKey: [1] }, [0, 1]],
  ['id v*', 'index', { identityIndex: [2] }, [1]],
  ['id* v*', 'full', {}, [0]],
  ['id* v*', 'full', { primaryKey: null }, []],
  ['id v', 'nothing', {}, [0]],
  ['id v', 'default', { primaryKey: null }, []],
] as const) {
  test(`identity ${identity} of ${sent} beside ${JSON.stringify(changes)}: the key is ${JSON.stringify(key)}`, () => {
    const names = sent.replaceAll('*', '').split(' ').map((name, i) => `${name}@${i + 1}`).join(' ');
    assert.deepEqual(shapeOfRelation(relation(sent, identity), catalog(names, changes), []).key, key);
  });
}

test('a shape is described anew by what differs in name, columns, identity or key, and by nothing else', () => {
  const shape = shapeOfRelation(relation('id* v'), catalog('id@1 v@2'), []);
  assert.equal(describesSame(relation('id* v'), shape), true);
  assert.equal(describesSame(relation('id* v*'), shape), false);
  assert.equal(describesSame(relation('id* w'), shape), false);
  assert.equal(describesSame(relation('id* v', 'full'), shape), false);
  assert.equal(describesSame({ ...relation('id* v'), name: 'b' }, shape), false);
  assert.equal(describesSame({ ...relation('id* v'), columns: relation('id* v').columns.map((column) => ({ ...column, typmod: 5 })) }, shape), false);
});

for (const [xids, snapshot, visible] of [
  [[], '10:10:', true],
  [[9], '10:12:10', true],
  [[10], '10:12:10', false],
  [[11], '10:12:10', true],
  [[12], '10:12:10', false],
  [[9, 10], '10:12:10', false],
  // Ids go round at 2^32; snapshots count on.
  [[0xffff_fff0], '4294967300:4294967310:', true],
  [[5], '4294967300:4294967310:4294967301', false],
  [[4], '4294967300:4294967310:4294967301', true],
] as const) {
  test(`transactions ${xids.join(', ') || 'none'} are ${visible ? 'all' : 'not all'} visible in ${snapshot}`, () => {
    const streamed = new StreamedTransactions();
    for (const xid of xids) streamed.add(xid);
    assert.equal(streamed.allVisible(parseVisibility(snapshot)), visible);
    assert.equal(streamed.allVisible(parseVisibility('4294967400:4294967400:')), true);
  });
}
