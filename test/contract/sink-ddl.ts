import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TableSchema } from '../../src/event/table.ts';
import type { TableChanges, TableOperation } from '../../src/sink/sink.ts';
import { altered, apply, changes, insert, positionAt, read, rekey, remove, tableOf, truncate, update, type TableSpec } from './sink-samples.ts';
import { openSession, sorted, type ReplicaUnderTest, type SinkHarness } from './sink.ts';

/** A replica's table becomes whatever its source's table becomes, with the rows that stand there (docs/adr/0035). */
export function sinkDdlRules(harness: SinkHarness): void {
  const columns = [['id', 'integer'], ['name', 'text'], ['note', 'text']] as const;
  const table = tableOf({ columns });
  const rows = [['1', 'a', 'x'], ['2', 'b', 'y']] as const;
  const rule = (title: string, run: (replica: ReplicaUnderTest) => Promise<void>): void => void test(title, async (t) => run(await harness.replica(t)));
  const become = (spec: Partial<TableSpec>): TableSchema => altered(table, { columns, ...spec });

  /** The rows stand; then, in one transaction, a row in the old shape, the new shape, and rows in that. */
  async function through(replica: ReplicaUnderTest, next: TableSchema, ...after: readonly TableOperation[]): Promise<string[]> {
    const session = await replica.sink().open({ signal: new AbortController().signal });
    try {
      await apply(session, positionAt(1), changes(table, rows.slice(0, 1).map((row) => insert(table, row))));
      await apply(session, positionAt(2), changes(table, rows.slice(1).map((row) => insert(table, row))), { ...changes(next, after), coverage: 'copying' });
      return sorted(await replica.rows(next));
    } finally {
      await session.close();
    }
  }

  rule('D3: a renamed column keeps its values', async (replica) => {
    const next = become({ columns: [columns[0], ['label', 'text'], columns[2]] });
    assert.deepEqual(await through(replica, next, insert(next, ['3', 'c', 'z'])), sorted([...rows, ['3', 'c', 'z']]));
    assert.deepEqual((await replica.columns(next)).toSorted(), ['id', 'label', 'note']);
  });

  rule('D3: two columns that swap their names swap no values', async (replica) => {
    const next = become({ columns: [columns[0], ['note', 'text'], ['name', 'text']] });
    assert.deepEqual(await through(replica, next, insert(next, ['3', 'c', 'z'])), sorted([...rows, ['3', 'c', 'z']]));
  });

  rule('D3: names that go round in a circle arrive, each with its own values', async (replica) => {
    const next = become({ columns: [['name', 'integer'], ['note', 'text'], ['id', 'text']] });
    assert.deepEqual(await through(replica, next, insert(next, ['3', 'c', 'z'])), sorted([...rows, ['3', 'c', 'z']]));
  });

  for (const [to, names] of [['the next column', ['note', 'memo']], ['the one before it', ['memo', 'name']]] as const) {
    rule(`D3: a name that is handed on to ${to} arrives, each with its own values`, async (replica) => {
      const next = become({ columns: [columns[0], [names[0], 'text'], [names[1], 'text']] });
      assert.deepEqual(await through(replica, next, insert(next, ['3', 'c', 'z'])), sorted([...rows, ['3', 'c', 'z']]));
    });
  }

  rule('D3: a column renamed, and another one added under the old name', async (replica) => {
    const next = become({ columns: [columns[0], ['label', 'text'], columns[2], ['name', 'text']] });
    assert.deepEqual(await through(replica, next, insert(next, ['3', 'c', 'z', 'new'])), sorted([['1', 'a', 'x', null], ['2', 'b', 'y', null], ['3', 'c', 'z', 'new']]));
  });

  rule('D2: a column dropped, and another one renamed to its name', async (replica) => {
    const next = become({ columns: [columns[0], ['name', 'text']], attnums: [1, 3] });
    assert.deepEqual(await through(replica, next, insert(next, ['3', 'z'])), sorted([['1', 'x'], ['2', 'y'], ['3', 'z']]));
  });

  rule('D2: a column dropped and added again with another type is another one', async (replica) => {
    const next = become({ columns: [columns[0], columns[1], ['note', 'integer']], attnums: [1, 2, 4] });
    assert.deepEqual(await through(replica, next, insert(next, ['3', 'c', '5'])), sorted([['1', 'a', null], ['2', 'b', null], ['3', 'c', '5']]));
  });

  rule('D2: every column goes, and others come', async (replica) => {
    const start = tableOf({ columns: [['a', 'text']], name: 'changing' });
    const next = altered(start, { columns: [['a', 'integer'], ['b', 'text']], attnums: [2, 3] });
    const session = await replica.sink().open({ signal: new AbortController().signal });
    await apply(session, positionAt(1), changes(start, [insert(start, ['x'])]));
    await apply(session, positionAt(2), { ...changes(next, [truncate, insert(next, ['5', 'e'])]), coverage: 'copying' });
    assert.deepEqual(await replica.rows(next), [['5', 'e']]);
    await session.close();
  });

  rule('D2: a column of the key goes, and another one gets its name and its place', async (replica) => {
    const next = become({ columns: [['id', 'text'], columns[2]], attnums: [2, 3], key: [0] });
    assert.deepEqual(await through(replica, next, insert(next, ['c', 'z'])), sorted([['a', 'x'], ['b', 'y'], ['c', 'z']]));
  });

  rule('D4: a wider type keeps the values', async (replica) => {
    const next = become({ columns: [['id', 'bigint'], ...columns.slice(1)] });
    const row = ['9007199254740993', 'c', 'z'];
    assert.deepEqual(await through(replica, next, insert(next, row)), sorted([...rows, row]));
  });

  rule('D4: values that the new type reads are taken over by their text', async (replica) => {
    const start = tableOf({ columns: [['id', 'integer'], ['n', 'integer'], ['t', 'text'], ['f', 'text']], name: 'typed' });
    const next = altered(start, { columns: [['id', 'integer'], ['n', 'text'], ['t', 'integer'], ['f', 'numeric']] });
    const session = await replica.sink().open({ signal: new AbortController().signal });
    await apply(session, positionAt(1), changes(start, [insert(start, ['1', '7', '8', '1.10']), insert(start, ['2', '-7', null, 'NaN'])]));
    await apply(session, positionAt(2), { ...changes(next, [insert(next, ['3', 'seven', '9', '2'])]), coverage: 'copying' });
    assert.deepEqual(sorted(await replica.rows(next)), sorted([['1', '7', '8', '1.10'], ['2', '-7', null, 'NaN'], ['3', 'seven', '9', '2']]));
    await session.close();
  });

  rule('D4: values that the new type does not read are NULL until the copy brings them', async (replica) => {
    const next = become({ columns: [columns[0], columns[1], ['note', 'integer']] });
    assert.deepEqual(await through(replica, next, insert(next, ['3', 'c', '5'])), sorted([['1', 'a', null], ['2', 'b', null], ['3', 'c', '5']]));
    const session = await replica.sink().open({ signal: new AbortController().signal });
    await apply(session, positionAt(3), { ...changes(next, [read(next, ['1', 'a', '24']), read(next, ['2', 'b', '25'])]), coverage: 'copying' });
    assert.deepEqual(sorted(await replica.rows(next)), sorted([['1', 'a', '24'], ['2', 'b', '25'], ['3', 'c', '5']]));
    await session.close();
  });

  test('D4: where no copy will bring them the sink stops with what to do, and changes nothing', async (t) => {
    const replica = await harness.replica(t);
    const next = become({ columns: [columns[0], columns[1], ['note', 'integer']] });
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(table, [insert(table, rows[0])]));
    await assert.rejects(apply(session, positionAt(2), { ...changes(next, [insert(next, ['2', '3', '4'])]), coverage: 'partial' }), (error) => {
      assert.equal((error as { code: string }).code, 'sink-shape');
      assert.match((error as Error).message, /public\.people/);
      assert.ok((error as { remedy: string }).remedy.length > 20);
      return true;
    });
    await session.abort();
    assert.deepEqual(await replica.rows(table), [rows[0]]);
    assert.deepEqual(session.position, positionAt(1));
  });

  rule('D8: another key finds the rows from then on', async (replica) => {
    const next = become({ key: [1] });
    assert.deepEqual(await through(replica, next, update(next, ['7', 'a', undefined]), rekey(next, ['2', 'b', 'y'], ['2', 'c', 'y'])), sorted([['7', 'a', 'x'], ['2', 'c', 'y']]));
  });

  rule('D8: a key of two columns in place of one', async (replica) => {
    const next = become({ key: [0, 1] });
    assert.deepEqual(await through(replica, next, insert(next, ['1', 'z', 'w']), update(next, ['1', 'a', 'X'])), sorted([['1', 'a', 'X'], ['1', 'z', 'w'], ['2', 'b', 'y']]));
  });

  rule('D8: without its key a table takes equal rows, and NULL where the key was', async (replica) => {
    const next = become({ key: [], identity: 'full' });
    const last = await through(replica, next, insert(next, ['1', 'a', 'x']), insert(next, [null, 'n', 'n']), remove(next, ['2', 'b', 'y']));
    assert.deepEqual(last, sorted([['1', 'a', 'x'], ['1', 'a', 'x'], [null, 'n', 'n']]));
  });

  rule('D8: a key for a table that had none', async (replica) => {
    const bag = tableOf({ columns, key: [], name: 'bag' });
    const keyed = altered(bag, { columns, key: [0], identity: 'default' });
    const session = await replica.sink().open({ signal: new AbortController().signal });
    await apply(session, positionAt(1), changes(bag, rows.map((row) => insert(bag, row))));
    await apply(session, positionAt(2), changes(keyed, [update(keyed, ['1', 'A', undefined])]));
    assert.deepEqual(sorted(await replica.rows(keyed)), sorted([['1', 'A', 'x'], ['2', 'b', 'y']]));
    await session.close();
  });

  rule('D8: a column of the key that is renamed and retyped', async (replica) => {
    const next = become({ columns: [['number', 'bigint'], ...columns.slice(1)] });
    assert.deepEqual(await through(replica, next, update(next, ['1', 'A', undefined])), sorted([['1', 'A', 'x'], ['2', 'b', 'y']]));
  });

  rule('D8: a key with values that its new type does not read leaves no row until the copy brings them', async (replica) => {
    const start = tableOf({ columns: [['id', 'text'], ['v', 'text']], name: 'named' });
    const next = altered(start, { columns: [['id', 'integer'], ['v', 'text']] });
    const session = await replica.sink().open({ signal: new AbortController().signal });
    await apply(session, positionAt(1), changes(start, [insert(start, ['1', 'a']), insert(start, ['two', 'b'])]));
    await apply(session, positionAt(2), { ...changes(next, [insert(next, ['3', 'c'])]), coverage: 'copying' });
    assert.deepEqual(await replica.rows(next), [['3', 'c']]);
    await session.close();
  });

  rule('D8: the column of the key goes, and another one takes its place', async (replica) => {
    const next = become({ columns: [columns[1], columns[2]], attnums: [2, 3], key: [0] });
    assert.deepEqual(await through(replica, next, update(next, ['a', 'X'])), sorted([['a', 'X'], ['b', 'y']]));
  });

  rule('D6: a table that gets another name takes its rows along', async (replica) => {
    const next = { ...become({}), name: 'folk' };
    assert.deepEqual(await through(replica, next, update(next, ['1', 'A', undefined])), sorted([['1', 'A', 'x'], ['2', 'b', 'y']]));
    await assert.rejects(replica.rows(table), 'nothing is left under the old name');
  });

  rule('D6: a table that goes to another schema takes its rows along', async (replica) => {
    const next = { ...become({ columns: [columns[0], ['label', 'text'], columns[2]] }), schema: 'other' };
    assert.deepEqual(await through(replica, next, update(next, ['1', 'A', undefined])), sorted([['1', 'A', 'x'], ['2', 'b', 'y']]));
  });

  rule('D6: two tables that swap their names keep no row of each other', async (replica) => {
    const other = tableOf({ columns: [['code', 'text'], ['name', 'integer']], name: 'others' });
    const session = await replica.sink().open({ signal: new AbortController().signal });
    await apply(session, positionAt(1), changes(table, rows.map((row) => insert(table, row))), changes(other, [insert(other, ['c', '1'])]));
    const [now, then] = [{ ...altered(table, { columns }), name: 'others' }, { ...altered(other, { columns: [['code', 'text'], ['name', 'integer']] }), name: 'people' }];
    await apply(session, positionAt(2), { ...changes(now, []), coverage: 'copying' }, { ...changes(then, []), coverage: 'copying' });
    await apply(session, positionAt(3), { ...changes(now, [truncate, ...rows.map((row) => read(now, row))]), coverage: 'copying' }, { ...changes(then, [truncate, read(then, ['c', '1'])]), coverage: 'copying' });
    assert.deepEqual(sorted(await replica.rows(now)), sorted(rows));
    assert.deepEqual(await replica.rows(then), [['c', '1']]);
    await session.close();
  });

  rule('D7: a table made again under the name of one that is gone has none of its rows', async (replica) => {
    const next = tableOf({ columns: [['name', 'integer'], ['id', 'text']], key: [1] });
    assert.deepEqual(await through(replica, next, insert(next, ['5', 'e'])), [JSON.stringify(['5', 'e'])]);
  });

  const swapped = become({ columns: [columns[0], ['note', 'text'], ['name', 'text']] });
  const retyped = become({ columns: [['id', 'bigint'], ['label', 'text'], ['note', 'integer']], key: [1] });
  for (const [what, next, row] of [['swapped names', swapped, ['3', 'c', 'z']], ['another key, name and type', retyped, ['3', 'c', '5']]] as const) {
    test(`${what} that were aborted, or whose worker died, are done again once`, async (t) => {
      const replica = await harness.replica(t);
      const session = await openSession(t, replica.sink());
      await apply(session, positionAt(1), changes(table, rows.map((each) => insert(table, each))));
      const step: TableChanges = { ...changes(next, [insert(next, row)]), coverage: 'copying' };
      await session.begin(positionAt(2));
      await session.write(step);
      await session.abort();
      assert.deepEqual(sorted(await replica.rows(table)), sorted(rows));
      await session.begin(positionAt(2));
      await session.write(step);
      await replica.kill(session);
      const second = await openSession(t, replica.sink());
      assert.deepEqual(second.position, positionAt(1));
      await apply(second, positionAt(2), step);
      const notes = next === swapped ? ['x', 'y'] : [null, null];
      assert.deepEqual(sorted(await replica.rows(next)), sorted([['1', 'a', notes[0] ?? null], ['2', 'b', notes[1] ?? null], row]));
    });
  }

  test('what an operator has renamed already is taken as it is', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(table, [insert(table, rows[0])]));
    await replica.sql(`ALTER TABLE ${replica.name(table)} RENAME COLUMN name TO label`);
    const next = become({ columns: [columns[0], ['label', 'text'], columns[2]] });
    await apply(session, positionAt(2), changes(next, [insert(next, ['2', 'b', 'y'])]));
    assert.deepEqual(sorted(await replica.rows(next)), sorted(rows));
  });

  test('a name that the operator has given to a column of his own stops the sink with the statement to run, and nothing is lost', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(table, [insert(table, rows[0])]));
    await replica.sql(`ALTER TABLE ${replica.name(table)} ADD COLUMN label ${harness.types.text}`);
    const next = become({ columns: [columns[0], ['label', 'text'], columns[2]] });
    const step = changes(next, [insert(next, ['2', 'b', 'y'])]);
    await assert.rejects(apply(session, positionAt(2), step), (error) => {
      assert.equal((error as { code: string }).code, 'sink-shape');
      assert.match((error as { remedy: string }).remedy, /RENAME COLUMN/);
      return true;
    });
    await session.abort();
    await replica.sql(`ALTER TABLE ${replica.name(table)} DROP COLUMN label`);
    await apply(session, positionAt(2), step);
    assert.deepEqual(sorted(await replica.rows(next)), sorted(rows));
  });

  test('ddl: pause stops before any change of shape with the statements to run, and goes on once somebody has run them', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink({ ddl: 'pause' }));
    await apply(session, positionAt(1), changes(table, [insert(table, rows[0])]));
    const shapes: readonly Partial<TableSpec>[] = [
      { columns: [columns[0], ['label', 'text'], columns[2]] },
      { columns: [columns[0], ['label', 'text'], columns[2], ['extra', 'text']], attnums: [1, 2, 3, 4] },
      { columns: [columns[0], ['label', 'text'], ['extra', 'text']], attnums: [1, 2, 4] },
    ];
    let before = table;
    for (const [i, spec] of shapes.entries()) {
      const next = altered(before, { columns, ...spec });
      const step = changes(next, [insert(next, [String(i + 2), 'b', 'y', 'z'].slice(0, next.columns.length))]);
      const error = await apply(session, positionAt(i + 2), step).then(() => assert.fail('it was followed'), (reason: unknown) => reason as { code: string; remedy: string });
      assert.equal(error.code, 'sink-shape');
      await session.abort();
      await replica.sql(/Run at the replica: (.*?)\. The sink/.exec(error.remedy)?.[1] ?? 'a statement is missing');
      await apply(session, positionAt(i + 2), step);
      before = next;
    }
    assert.deepEqual((await replica.rows(before)).length, 4);
    const renamed = { ...altered(before, { columns: shapes[2]?.columns ?? [], attnums: [1, 2, 4] }), name: 'folk' };
    const error = await apply(session, positionAt(9), changes(renamed, [])).then(() => assert.fail('it was followed'), (reason: unknown) => reason as { code: string; remedy: string });
    await session.abort();
    await replica.sql(/Run at the replica: (.*?)\. The sink/.exec(error.remedy)?.[1] ?? 'a statement is missing');
    await apply(session, positionAt(9), changes(renamed, [insert(renamed, ['9', 'i', 'w'])]));
    assert.equal((await replica.rows(renamed)).length, 5);
  });

  test('ddl: ignore leaves a table the columns that it has, under their names, and another key stops the sink', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink({ ddl: 'ignore' }));
    await apply(session, positionAt(1), changes(table, [insert(table, rows[0])]));
    const wider = become({ columns: [columns[0], ['label', 'text'], columns[2], ['extra', 'integer']] });
    await apply(session, positionAt(2), changes(wider, [insert(wider, ['2', 'b', 'y', '5']), update(wider, ['1', 'A', undefined, '6'])]));
    const narrower = altered(wider, { columns: [columns[0], ['label', 'text']], attnums: [1, 2] });
    await apply(session, positionAt(3), changes(narrower, [insert(narrower, ['3', 'c']), remove(narrower, ['2', null])]));
    await session.close();
    // What is known of it outlives the session.
    const second = await openSession(t, replica.sink({ ddl: 'ignore' }));
    await apply(second, positionAt(4), changes(narrower, [insert(narrower, ['4', 'd'])]));
    assert.deepEqual(await replica.columns(table), ['id', 'name', 'note']);
    assert.deepEqual(sorted(await replica.rows(table)), sorted([['1', 'A', 'x'], ['3', 'c', null], ['4', 'd', null]]));
    const rekeyed = altered(narrower, { columns: [columns[0], ['label', 'text']], attnums: [1, 2], key: [1] });
    await assert.rejects(apply(second, positionAt(5), changes(rekeyed, [])), { code: 'sink-shape' });
  });
}
