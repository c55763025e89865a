import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TableOperation } from '../../src/sink/sink.ts';
import { apply, changes, insert, positionAt, read, rekey, remove, tableOf, truncate, update, updateFull } from './sink-samples.ts';
import { openSession, sorted, type SinkHarness } from './sink.ts';

type Row = readonly (string | null)[];

/**
 * Tables with a key. Each case runs alone and amid 300 rows of other keys, because sinks treat a handful of changes and a big
 * batch differently, and both must say the same.
 */
export function sinkKeyedRules(harness: SinkHarness): void {
  const table = tableOf({ columns: [['id', 'integer'], ['name', 'text'], ['note', 'text']] });
  const full = tableOf({ columns: [['id', 'integer'], ['name', 'text'], ['note', 'text']], identity: 'full' });
  const before: readonly Row[] = [['1', 'a', 'x'], ['2', 'b', 'y'], ['3', null, '']];

  interface Case {
    readonly rule: string;
    readonly table?: typeof table;
    readonly list: readonly TableOperation[];
    readonly after: readonly Row[];
  }

  const cases: readonly Case[] = [
    { rule: 'an insert adds a row', list: [insert(table, ['4', 'd', null])], after: [...before, ['4', 'd', null]] },
    { rule: 'a row that was read replaces the one that is there', list: [read(table, ['2', 'B', null])], after: [['1', 'a', 'x'], ['2', 'B', null], ['3', null, '']] },
    { rule: 'an insert that comes again replaces the row', list: [insert(table, ['2', 'B', null]), insert(table, ['5', 'e', 'e'])], after: [['1', 'a', 'x'], ['2', 'B', null], ['3', null, ''], ['5', 'e', 'e']] },
    { rule: 'an update changes its row', list: [update(table, ['1', 'A', null])], after: [['1', 'A', null], ['2', 'b', 'y'], ['3', null, '']] },
    { rule: 'an update with every column inserts a row that is missing', list: [update(table, ['9', 'i', 'z'])], after: [...before, ['9', 'i', 'z']] },
    { rule: 'a column that did not come keeps its value', list: [update(table, ['1', 'A', undefined]), update(table, ['3', undefined, 'n'])], after: [['1', 'A', 'x'], ['2', 'b', 'y'], ['3', null, 'n']] },
    { rule: 'updates that lack different columns add up', list: [update(table, ['1', 'A', undefined]), update(table, ['1', undefined, 'X']), update(table, ['1', 'AA', undefined])], after: [['1', 'AA', 'X'], ['2', 'b', 'y'], ['3', null, '']] },
    { rule: 'an update that lacks a column lies over the insert before it', list: [insert(table, ['7', 'g', 'long']), update(table, ['7', 'G', undefined])], after: [...before, ['7', 'G', 'long']] },
    { rule: 'a full update lies over one that lacked a column', list: [update(table, ['1', undefined, 'n']), update(table, ['1', 'A', 'N'])], after: [['1', 'A', 'N'], ['2', 'b', 'y'], ['3', null, '']] },
    { rule: 'a NULL is no absent column', list: [update(table, ['1', null, undefined])], after: [['1', null, 'x'], ['2', 'b', 'y'], ['3', null, '']] },
    { rule: 'a delete removes its row', list: [remove(table, ['2', 'b', 'y'])], after: [['1', 'a', 'x'], ['3', null, '']] },
    { rule: 'a delete of a row that is not there does nothing', list: [remove(table, ['8', 'h', 'h'])], after: before },
    { rule: 'a row deleted and inserted again is the new row', list: [remove(table, ['2', 'b', 'y']), insert(table, ['2', 'new', null])], after: [['1', 'a', 'x'], ['2', 'new', null], ['3', null, '']] },
    { rule: 'a row inserted and deleted is gone', list: [insert(table, ['4', 'd', 'd']), remove(table, ['4', 'd', 'd'])], after: before },
    { rule: 'a row changed in part and deleted is gone', list: [update(table, ['2', undefined, 'q']), remove(table, ['2', 'b', 'q'])], after: [['1', 'a', 'x'], ['3', null, '']] },
    { rule: 'a row changed in part, deleted and inserted is the new row', list: [update(table, ['2', undefined, 'q']), remove(table, ['2', 'b', 'q']), insert(table, ['2', 'again', null])], after: [['1', 'a', 'x'], ['2', 'again', null], ['3', null, '']] },
    { rule: 'a key change moves its row', list: [rekey(table, ['2', 'b', 'y'], ['20', 'b', 'Y'])], after: [['1', 'a', 'x'], ['20', 'b', 'Y'], ['3', null, '']] },
    { rule: 'a key change that lacks a column moves the value along', list: [rekey(table, ['2', 'b', 'y'], ['20', 'B', undefined])], after: [['1', 'a', 'x'], ['20', 'B', 'y'], ['3', null, '']] },
    { rule: 'a key change of a row of the same batch moves what that had', list: [insert(table, ['4', 'd', 'long']), rekey(table, ['4', 'd', 'long'], ['40', 'D', undefined]), update(table, ['40', undefined, 'l'])], after: [...before, ['40', 'D', 'l']] },
    { rule: 'a key change of a row changed in part in the same batch moves both', list: [update(table, ['2', 'bb', undefined]), rekey(table, ['2', 'bb', 'y'], ['20', undefined, 'yy'])], after: [['1', 'a', 'x'], ['20', 'bb', 'yy'], ['3', null, '']] },
    { rule: 'an old key that did not change is an ordinary update', list: [rekey(table, ['2', 'b', 'y'], ['2', 'B', undefined])], after: [['1', 'a', 'x'], ['2', 'B', 'y'], ['3', null, '']] },
    { rule: 'two rows swap their keys by way of a third', list: [rekey(table, ['1', 'a', 'x'], ['-1', 'a', 'x']), rekey(table, ['2', 'b', 'y'], ['1', 'b', 'y']), rekey(table, ['-1', 'a', 'x'], ['2', 'a', 'x'])], after: [['2', 'a', 'x'], ['1', 'b', 'y'], ['3', null, '']] },
    { rule: 'two rows swap their keys and lack a column each time', list: [rekey(table, ['1', 'a', 'x'], ['-1', 'a', undefined]), rekey(table, ['2', 'b', 'y'], ['1', 'b', undefined]), rekey(table, ['-1', 'a', 'x'], ['2', 'a', undefined])], after: [['2', 'a', 'x'], ['1', 'b', 'y'], ['3', null, '']] },
    { rule: 'keys move up a ladder', list: [rekey(table, ['3', null, ''], ['4', null, undefined]), rekey(table, ['2', 'b', 'y'], ['3', 'b', undefined]), rekey(table, ['1', 'a', 'x'], ['2', 'a', 'x'])], after: [['2', 'a', 'x'], ['3', 'b', 'y'], ['4', null, '']] },
    { rule: 'a key left by a key change can be taken by an insert', list: [rekey(table, ['1', 'a', 'x'], ['10', 'a', undefined]), insert(table, ['1', 'new', 'new'])], after: [['10', 'a', 'x'], ['1', 'new', 'new'], ['2', 'b', 'y'], ['3', null, '']] },
    { rule: 'a truncate removes what was there and what came before it, not what comes after', list: [insert(table, ['4', 'd', 'd']), update(table, ['1', 'A', undefined]), truncate, insert(table, ['5', 'e', 'e']), update(table, ['5', 'E', undefined])], after: [['5', 'E', 'e']] },
    { rule: 'a truncate alone empties the table', list: [truncate], after: [] },
    { rule: 'under replica identity full an absent column comes from the old row', table: full, list: [updateFull(full, ['1', 'a', 'from the old row'], ['1', 'A', undefined])], after: [['1', 'A', 'from the old row'], ['2', 'b', 'y'], ['3', null, '']] },
    { rule: 'under replica identity full a key change is whole', table: full, list: [updateFull(full, ['1', 'a', 'old'], ['11', 'A', undefined]), remove(full, ['2', 'b', 'y'])], after: [['11', 'A', 'old'], ['3', null, '']] },
    { rule: 'values with every byte that a format may mind arrive as they are', list: [insert(table, ['4', '\\N', '\\']), insert(table, ['5', '\t\n\r\b\f\v\u0001', '\\.']), update(table, ['1', 'NULL', '{}"\'$1'])], after: [['1', 'NULL', '{}"\'$1'], ['2', 'b', 'y'], ['3', null, ''], ['4', '\\N', '\\'], ['5', '\t\n\r\b\f\v\u0001', '\\.']] },
    { rule: 'text beyond ASCII and long text arrive as they are', list: [insert(table, ['4', '\u{10ffff}é\u0301', 'ß'.repeat(400_000)])], after: [...before, ['4', '\u{10ffff}é\u0301', 'ß'.repeat(400_000)]] },
  ];

  for (const amid of [0, 300]) {
    for (const each of cases) {
      test(`${each.rule}${amid === 0 ? '' : ', in a big batch'}`, async (t) => {
        const replica = await harness.replica(t);
        const session = await openSession(t, replica.sink());
        const shape = each.table ?? table;
        await apply(session, positionAt(1), changes(shape, before.map((row) => insert(shape, row))));
        const others = Array.from({ length: amid }, (_, i): Row => [String(1000 + i), 'other', null]);
        // Others stand before and behind, so that the case neither begins nor ends its batch.
        const first = others.slice(0, amid / 2).map((row) => update(shape, row));
        const last = others.slice(amid / 2).map((row) => insert(shape, row));
        await apply(session, positionAt(2), changes(shape, [...first, ...each.list, ...last]));
        const kept = each.list.includes(truncate) ? others.slice(amid / 2) : others;
        assert.deepEqual(sorted(await replica.rows(shape)), sorted([...each.after, ...kept]));
      });
    }
  }

  test('several writes of one table in one transaction apply in order', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    const many = Array.from({ length: 200 }, (_, i) => insert(table, [String(i + 1), 'new', 'n']));
    await apply(
      session,
      positionAt(1),
      changes(table, many),
      changes(table, [update(table, ['1', 'one', undefined])]),
      changes(table, many.map((_, i) => update(table, [String(i + 1), undefined, 'N']))),
      changes(table, [remove(table, ['2', '', ''])]),
      changes(table, many.slice(10).map((_, i) => remove(table, [String(i + 11), '', '']))),
    );
    const rest = ['1', '3', '4', '5', '6', '7', '8', '9', '10'].map((id) => [id, id === '1' ? 'one' : 'new', 'N']);
    assert.deepEqual(sorted(await replica.rows(table)), sorted(rest));
  });

  test('a write leaves nothing behind for the next one of its transaction', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    const ids = Array.from({ length: 100 }, (_, i) => String(i));
    await apply(
      session,
      positionAt(1),
      changes(table, ids.map((id) => update(table, [id, 'first', null]))),
      changes(table, ids.flatMap((id) => [remove(table, [id, null, null]), update(table, [`1${id.padStart(3, '0')}`, 'second', null])])),
    );
    assert.deepEqual(sorted(await replica.rows(table)), sorted(ids.map((id) => [`1${id.padStart(3, '0')}`, 'second', null])));
  });

  test('keys of several columns, in another order than the columns', async (t) => {
    const replica = await harness.replica(t);
    const pair = tableOf({ columns: [['a', 'text'], ['n', 'integer'], ['b', 'text']], key: [2, 0], name: 'pairs' });
    const session = await openSession(t, replica.sink());
    for (const n of [1, 100]) {
      const list = Array.from({ length: n }, (_, i) => [
        insert(pair, [`a${i}`, '1', 'b']), insert(pair, [`a${i}`, '2', 'c']), update(pair, [`a${i}`, '3', 'b']),
        remove(pair, [`a${i}`, null, 'c']), rekey(pair, [`a${i}`, '3', 'b'], [`a${i}`, '4', 'd']),
      ]).flat();
      await apply(session, positionAt(n), changes(pair, list));
      assert.deepEqual(sorted(await replica.rows(pair)), sorted(Array.from({ length: n }, (_, i) => [`a${i}`, '4', 'd'])));
    }
  });

  test('a table with nothing but its key', async (t) => {
    const replica = await harness.replica(t);
    const tags = tableOf({ columns: [['tag', 'text']], name: 'tags' });
    const session = await openSession(t, replica.sink());
    for (const [n, round] of [[1, 1], [100, 2]] as const) {
      const list = Array.from({ length: n }, (_, i) => [insert(tags, [`t${i}`]), read(tags, [`t${i}`]), rekey(tags, [`t${i}`], [`u${i}`])]).flat();
      await apply(session, positionAt(round), changes(tags, list), changes(tags, [update(tags, ['u0']), remove(tags, ['t0'])]));
      assert.deepEqual(sorted(await replica.rows(tags)), sorted(Array.from({ length: n }, (_, i) => [`u${i}`])));
    }
  });
}
