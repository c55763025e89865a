import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TableShape } from '../../../src/event/table.ts';
import type { Relation } from '../../../src/source/postgres/relation.ts';
import type { Attribute, StreamTable } from '../../../src/source/postgres/stream-catalog.ts';
import { describesSame, shapeOf, shapeOfRelation, type Before } from '../../../src/source/postgres/stream-shape.ts';
import { parseVisibility, StreamedTransactions } from '../../../src/source/postgres/transactions.ts';

/** Columns as `name`, with `*` for those of the identity. */
function relation(columns: string, replicaIdentity: Relation['replicaIdentity'] = 'default'): Relation {
  return {
    relid: 1, schema: 'public', name: 'a', replicaIdentity,
    columns: columns.split(' ').map((column) => ({ name: column.replace('*', ''), identity: column.endsWith('*'), typeOid: 25, typmod: -1 })),
  };
}

/**
 * Columns as `name@attnum`: `-@2` was dropped, `g@3+` is generated, and `v@2'` was altered since the last look.
 */
function catalog(columns: string, changes: Partial<StreamTable> = {}): StreamTable {
  const read = (column: string): Attribute => {
    const [, name = '', attnum, mark] = /^(.+)@(\d+)(.?)$/.exec(column) ?? [];
    const dropped = name === '-';
    return {
      name, attnum: Number(attnum), typeOid: dropped ? 0 : 25, typmod: -1, type: 'text', baseTypeOid: 25, definition: null, notNull: true, dropped,
      sent: !dropped && mark !== '+', missing: null, stamp: mark === "'" ? '2' : '1',
    };
  };
  return {
    relid: 1, schema: 'public', name: 'a', replicaIdentity: 'default', attributes: columns.split(' ').map(read), primaryKey: [1], identityIndex: null,
    entry: '', listed: true, files: {}, links: {}, types: {}, digest: '', ...changes,
  };
}

/** What was known, as at the last look: every column unaltered since. */
function before(columns: string): Before {
  const shape = shapeOf(catalog(columns));
  return { shape, stamps: new Map(shape.columns.map((column) => [column.attnum as number, '1'])) };
}

function attnums(sent: string, now: string, known?: string): (number | null)[] {
  const shape = shapeOfRelation(relation(sent), { before: known === undefined ? undefined : before(known), table: catalog(now), types: [] });
  return shape.columns.map((column) => column.attnum);
}

for (const [sent, now, expected] of [
  ['id* v', 'id@1 v@2', [1, 2]],
  ['id* v', 'id@1 -@2 v@5', [1, 5]],
  ['id* v', 'id@1 v@2 g@3+', [1, 2]],
  ['id* v', 'id@1 v@2 w@3', [null, null]],
  ['id* v w', 'id@1 v@2', [null, null, null]],
  ['id* v u', 'id@1 u@2 v@3', [null, null, null]],
] as const) {
  test(`of a table that nothing is known of, a Relation of ${sent} beside ${now} has the columns ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(attnums(sent, now), expected);
  });
}

for (const [known, sent, now, expected] of [
  ['id@1 v@2', 'id* v', 'id@1 v@2', [1, 2]],
  // Renamed, twice, swapped: none was dropped, so the order says which is which.
  ['id@1 v@2', 'id* w', "id@1 x@2'", [1, 2]],
  ['id@1 u@2 v@3', 'id* v u', "id@1 v@2' u@3'", [1, 2, 3]],
  ['id@1 u@2 v@3', 'id* v u', "id@1 u@2' v@3'", [1, 2, 3]],
  // Added, and added since.
  ['id@1 v@2', 'id* v w', 'id@1 v@2 w@3', [1, 2, 3]],
  ['id@1 v@2', 'id* v', 'id@1 v@2 w@3', [1, 2]],
  ['id@1 v@2', 'id* v w', "id@1 v@2 x@3' y@4", [1, 2, 3]],
  // Dropped, and dropped since.
  ['id@1 u@2 v@3', 'id* v', 'id@1 -@2 v@3', [1, 3]],
  ['id@1 u@2 v@3', 'id* u v', 'id@1 -@2 v@3', [1, 2, 3]],
  ['id@1 v@2', 'id* v w', 'id@1 v@2 -@3 x@4', [null, null, null]],
  // Another in its place, under another name; and under its own, which no Relation tells.
  ['id@1 u@2 v@3', 'id* v w', 'id@1 -@2 v@3 w@4', [1, 3, 4]],
  ['id@1 v@2', 'id* v', 'id@1 -@2 v@3', [null, null]],
  // Without a stamp a column may have been called anything.
  ['id@1 u@2 v@3', 'id* v w', "id@1 -@2 v@3' w@4", [null, null, null]],
] as const) {
  test(`a Relation of ${sent}, after ${known} and beside ${now}, has the columns ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(attnums(sent, now, known), expected);
  });
}

/** Some history of a table: columns are added, dropped, renamed and altered, and every state is remembered. */
const history = fc.array(fc.record({ what: fc.constantFrom('add', 'drop', 'rename', 'touch'), at: fc.nat(7), name: fc.constantFrom('a', 'b', 'c') }), { maxLength: 8 });

test('the columns that a Relation is laid over are those that it had, whatever has happened since', () => {
  let told = 0;
  fc.assert(fc.property(history, fc.nat(8), (steps, when) => {
    let columns: Attribute[] = catalog('id@1 a@2 b@3').attributes.slice();
    const states = [columns];
    for (const { what, at, name } of steps) {
      const column = columns.filter((one) => !one.dropped && one.attnum > 1)[at];
      const isFree = !columns.some((one) => !one.dropped && one.name === name);
      const replace = (next: Partial<Attribute>): Attribute[] => columns.map((one) => (one === column ? { ...one, ...next, stamp: `${one.stamp}'` } : one));
      if (what === 'add' && isFree) columns = [...columns, { ...(columns[0] as Attribute), attnum: columns.length + 1, name, stamp: '9' }];
      else if (what === 'drop' && column !== undefined) columns = replace({ dropped: true, sent: false, name: '-', typeOid: 0 });
      else if (what === 'rename' && column !== undefined && isFree) columns = replace({ name });
      else if (what === 'touch' && column !== undefined) columns = replace({});
      states.push(columns);
    }
    const then = (states[Math.min(when, states.length - 1)] as Attribute[]).filter((one) => !one.dropped);
    const found = attnumsOf(then.map((one) => one.name).join(' '), columns);
    if (found === null) return;
    told++;
    assert.deepEqual(found, then.map((one) => one.attnum));
  }), { numRuns: 3000 });
  assert.ok(told > 1500, `only ${told} of 3000 could be told`);
});

function attnumsOf(sent: string, attributes: readonly Attribute[]): readonly (number | null)[] | null {
  const shape = shapeOfRelation(relation(sent), { before: before('id@1 a@2 b@3'), table: { ...catalog('id@1'), attributes }, types: [] });
  const found = shape.columns.map((column) => column.attnum);
  return found.includes(null) ? null : found;
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
    assert.deepEqual(shapeOfRelation(relation(sent, identity), { before: undefined, table: catalog(names, changes), types: [] }).key, key);
  });
}

test('with identity full the key stays the one that is known until a look says otherwise', () => {
  const shape = (primaryKey: number[] | null): TableShape =>
    shapeOfRelation(relation('id* v*', 'full'), { before: before('id@1 v@2'), table: catalog('id@1 v@2', { primaryKey }), types: [] });
  assert.deepEqual(shape([2]).key, [0]);
  assert.deepEqual(shape(null).key, [0]);
});

test('a shape is described anew by what differs in name, columns, identity or key, and by nothing else', () => {
  const shape = shapeOfRelation(relation('id* v'), { before: undefined, table: catalog('id@1 v@2'), types: [] });
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
