import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TableOperation } from '../../src/sink/sink.ts';
import { apply, changes, insert, positionAt, read, remove, tableOf, truncate, updateFull } from './sink-samples.ts';
import { openSession, sorted, type SinkHarness } from './sink.ts';

type Row = readonly (string | null)[];

/** Tables without a key: a multiset of rows, the only kind of table in which an event that takes effect twice can be seen. */
export function sinkKeylessRules(harness: SinkHarness): void {
  const table = tableOf({ columns: [['n', 'integer'], ['word', 'text']], key: [], name: 'logs' });
  const before: readonly Row[] = [['1', 'a'], ['1', 'a'], ['1', 'a'], ['2', null], ['2', '']];

  const cases: readonly { readonly rule: string; readonly list: readonly TableOperation[]; readonly after: readonly Row[] }[] = [
    { rule: 'equal rows are inserted as often as they come', list: [insert(table, ['3', 'c']), insert(table, ['3', 'c']), read(table, ['1', 'a'])], after: [...before, ['3', 'c'], ['3', 'c'], ['1', 'a']] },
    { rule: 'a delete removes one of the rows that are equal', list: [remove(table, ['1', 'a'])], after: before.slice(1) },
    { rule: 'two deletes remove two of the rows that are equal', list: [remove(table, ['1', 'a']), remove(table, ['1', 'a'])], after: before.slice(2) },
    { rule: 'NULL and the empty text are two different rows', list: [remove(table, ['2', null])], after: [['1', 'a'], ['1', 'a'], ['1', 'a'], ['2', '']] },
    { rule: 'an update changes one of the rows that are equal', list: [updateFull(table, ['1', 'a'], ['1', 'z'])], after: [['1', 'a'], ['1', 'a'], ['1', 'z'], ['2', null], ['2', '']] },
    { rule: 'an update that lacks a column takes it from the old row', list: [updateFull(table, ['1', 'a'], ['5', undefined])], after: [['1', 'a'], ['1', 'a'], ['5', 'a'], ['2', null], ['2', '']] },
    { rule: 'an update that changes nothing changes nothing', list: [updateFull(table, ['2', null], ['2', null])], after: before },
    { rule: 'changes of one row follow each other', list: [updateFull(table, ['2', ''], ['2', 'b']), updateFull(table, ['2', 'b'], ['2', 'c']), insert(table, ['2', 'b']), remove(table, ['2', 'c'])], after: [['1', 'a'], ['1', 'a'], ['1', 'a'], ['2', null], ['2', 'b']] },
    { rule: 'a row inserted and deleted leaves its twins alone', list: [insert(table, ['1', 'a']), remove(table, ['1', 'a'])], after: before },
    { rule: 'a truncate removes every row, and what comes after stays', list: [insert(table, ['8', 'h']), truncate, insert(table, ['1', 'a'])], after: [['1', 'a']] },
  ];

  for (const amid of [0, 300]) {
    for (const each of cases) {
      test(`without a key: ${each.rule}${amid === 0 ? '' : ', in a big batch'}`, async (t) => {
        const replica = await harness.replica(t);
        const session = await openSession(t, replica.sink());
        await apply(session, positionAt(1), changes(table, before.map((row) => insert(table, row))));
        const others = Array.from({ length: amid }, (_, i): Row => [String(1000 + (i % 50)), 'other']);
        const first = others.slice(0, amid / 2).map((row) => insert(table, row));
        const last = others.slice(amid / 2).map((row) => insert(table, row));
        await apply(session, positionAt(2), changes(table, [...first, ...each.list, ...last]));
        const kept = each.list.includes(truncate) ? others.slice(amid / 2) : others;
        assert.deepEqual(sorted(await replica.rows(table)), sorted([...each.after, ...kept]));
      });
    }
  }

  test('without a key: a row to be deleted that is missing is an error where the table is complete, and counted where it is partial', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(table, before.map((row) => insert(table, row))));
    const four = Array.from({ length: 4 }, () => remove(table, ['1', 'a']));
    await assert.rejects(apply(session, positionAt(2), changes(table, four)), { code: 'sink-data' });
    await session.abort();
    assert.deepEqual(sorted(await replica.rows(table)), sorted(before));
    await apply(session, positionAt(2), changes(table, four, 'copying'));
    assert.equal(session.missing, 0);
    assert.deepEqual(sorted(await replica.rows(table)), sorted(before.slice(3)));
    await apply(session, positionAt(3), changes(table, [remove(table, ['1', 'a']), remove(table, ['2', ''])], 'partial'));
    assert.equal(session.missing, 1);
    assert.deepEqual(await replica.rows(table), [['2', null]]);
  });
}
