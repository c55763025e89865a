import assert from 'node:assert/strict';
import { test } from 'node:test';
import { altered, apply, changes, insert, positionAt, tableOf, update } from './sink-samples.ts';
import { openSession, sorted, type SinkHarness } from './sink.ts';

/** Replica tables are made from the table's schema, and follow added and dropped columns; sink-ddl.ts has what else they follow. */
export function sinkShapeRules(harness: SinkHarness): void {
  const columns = [['id', 'integer'], ['name', 'text'], ['note', 'text']] as const;
  const table = tableOf({ columns });
  const { integer, text } = harness.types;
  const full = (n: number, from = 1): string[] => Array.from({ length: n }, (_, i) => String(from + i));

  test('an added column is NULL in the rows that are there and carried in those that follow', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    const wider = altered(table, { columns: [...columns, ['extra', 'text']] });
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
    await apply(session, positionAt(2), changes(wider, [insert(wider, ['2', 'b', 'y', 'new']), update(wider, ['1', 'A', undefined, undefined])]));
    assert.deepEqual(sorted(await replica.rows(wider)), sorted([['1', 'A', 'x', null], ['2', 'b', 'y', 'new']]));
  });

  test('a dropped column goes, and the rest of its rows stays', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    const narrower = altered(table, { columns: [columns[0], columns[2]], attnums: [1, 3] });
    await apply(session, positionAt(1), changes(table, full(100).map((id) => insert(table, [id, 'a', 'x']))));
    await apply(session, positionAt(2), changes(narrower, full(100, 51).map((id) => insert(narrower, [id, 'y']))));
    assert.deepEqual(await replica.columns(narrower), ['id', 'note']);
    assert.equal((await replica.rows(narrower)).length, 150);
  });

  test('a column dropped and added again under its name has lost its values', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    const again = altered(table, { columns, attnums: [1, 2, 4] });
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
    await apply(session, positionAt(2), changes(again, [insert(again, ['2', 'b', 'y'])]));
    assert.deepEqual(sorted(await replica.rows(again)), sorted([['1', 'a', null], ['2', 'b', 'y']]));
  });

  test('a transaction with rows before and after an ALTER TABLE applies whole', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    const wider = altered(table, { columns: [...columns, ['extra', 'integer']] });
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]), changes(wider, [insert(wider, ['2', 'b', 'y', '5'])]));
    assert.deepEqual(sorted(await replica.rows(wider)), sorted([['1', 'a', 'x', null], ['2', 'b', 'y', '5']]));
  });

  test('a change of shape that was aborted is done again', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    const wider = altered(table, { columns: [...columns, ['extra', 'integer']] });
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
    await session.begin(positionAt(2));
    await session.write(changes(wider, [insert(wider, ['2', 'b', 'y', '5'])]));
    await session.abort();
    assert.deepEqual(await replica.columns(table), ['id', 'name', 'note']);
    await apply(session, positionAt(2), changes(wider, [insert(wider, ['2', 'b', 'y', '5'])]));
    assert.deepEqual(sorted(await replica.rows(wider)), sorted([['1', 'a', 'x', null], ['2', 'b', 'y', '5']]));
  });

  test('a table made in a transaction that was aborted is made again', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    await session.begin(positionAt(1));
    await session.write(changes(table, [insert(table, ['1', 'a', 'x'])]));
    await session.abort();
    await apply(session, positionAt(1), changes(table, [insert(table, ['2', 'b', 'y'])]));
    assert.deepEqual(await replica.rows(table), [['2', 'b', 'y']]);
  });

  test('what is known of a table outlives the session', async (t) => {
    const replica = await harness.replica(t);
    const wider = altered(table, { columns: [...columns, ['extra', 'integer']] });
    const first = await openSession(t, replica.sink());
    await apply(first, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
    await first.close();
    const second = await openSession(t, replica.sink());
    await apply(second, positionAt(2), changes(wider, [insert(wider, ['2', 'b', 'y', '5'])]));
    assert.deepEqual(sorted(await replica.rows(wider)), sorted([['1', 'a', 'x', null], ['2', 'b', 'y', '5']]));
  });

  test('names that no statement survives unquoted are names like any other', async (t) => {
    const replica = await harness.replica(t);
    const evil = tableOf({
      name: 'Quoted_"" . Täble; DROP TABLE y; --%_*?',
      columns: [['select "; drop table x; --', 'integer'], ['Name', 'text'], ['name', 'text'], ["it's $1 \\", 'text'], ['op', 'text'], ['😀', 'text']],
    });
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(evil, [insert(evil, ['1', 'A', 'a', 'q', 'o', '!'])]));
    await apply(session, positionAt(2), changes(evil, [update(evil, ['1', 'B', undefined, 'Q', 'O', undefined])]));
    const many = full(100).map((id) => update(evil, [id, 'C', 'c', 'Q', 'O', '?']));
    await apply(session, positionAt(3), changes(evil, [update(evil, ['1', 'D', undefined, 'Q', 'O', undefined]), ...many.slice(1)]));
    const rows = await replica.rows(evil);
    assert.equal(rows.length, 100);
    assert.deepEqual(rows.find((row) => row[0] === '1'), ['1', 'D', 'a', 'Q', 'O', '!']);
  });

  test('a table that is in the way stops the sink, and check names it; an empty one that fits is taken', async (t) => {
    const replica = await harness.replica(t);
    await replica.sql(`CREATE TABLE ${replica.name(table)} (id ${integer} PRIMARY KEY, name ${text}, note ${text})`);
    assert.deepEqual((await replica.sink().check([table])).filter((finding) => finding.severity === 'error'), []);
    await replica.sql(`INSERT INTO ${replica.name(table)} (id, name) VALUES (1, 'mine')`);
    const findings = await replica.sink().check([table]);
    assert.equal(findings.length, 1);
    assert.match(findings[0]?.message ?? '', /people/);
    const session = await openSession(t, replica.sink());
    await assert.rejects(apply(session, positionAt(1), changes(table, [insert(table, ['2', 'b', 'y'])])), { code: 'sink-conflict' });
    await session.abort();
    assert.deepEqual(await replica.rows(table), [['1', 'mine', null]]);
    await replica.sql(`DELETE FROM ${replica.name(table)}`);
    await apply(session, positionAt(1), changes(table, [insert(table, ['2', 'b', 'y'])]));
    assert.deepEqual(await replica.sink().check([table]), []);
    assert.deepEqual(await replica.rows(table), [['2', 'b', 'y']]);
  });

  test('a table that does not fit stops the sink, and check names every mismatch', async (t) => {
    const replica = await harness.replica(t);
    await replica.sql(`CREATE TABLE ${replica.name(table)} (id ${text}, name ${text})`);
    const [finding, ...more] = await replica.sink().check([table]);
    assert.deepEqual(more, []);
    assert.match(finding?.message ?? '', /note/);
    assert.match(finding?.message ?? '', /key/);
    const session = await openSession(t, replica.sink());
    await assert.rejects(apply(session, positionAt(1), changes(table, [insert(table, ['2', 'b', 'y'])])), { code: 'sink-conflict' });
  });

  test('two sinks never share a table', async (t) => {
    const replica = await harness.replica(t);
    const one = await openSession(t, replica.sink({ sink: 'one' }));
    await apply(one, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
    const two = await openSession(t, replica.sink({ sink: 'two' }));
    await assert.rejects(apply(two, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])])), { code: 'sink-conflict' });
  });

  test('a table can have another name at the replica', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink({ rename: { 'public.people': 'folk' } }));
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
    assert.deepEqual(await replica.rows(table, { renamed: 'folk' }), [['1', 'a', 'x']]);
    await assert.rejects(replica.rows(table));
  });

  test('a column can be left out, but no column of the key', async (t) => {
    const replica = await harness.replica(t);
    const sink = replica.sink({ leftOut: { 'public.people': ['name'] } });
    const session = await openSession(t, sink);
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'secret', 'x']), insert(table, ['2', 's', 'y'])]));
    await apply(session, positionAt(2), changes(table, [update(table, ['1', 'secret', undefined]), update(table, ['2', undefined, 'Y'])]));
    await apply(session, positionAt(3), changes(table, full(100, 3).map((id) => update(table, [id, 's', 'z']))));
    assert.deepEqual(await replica.columns(table), ['id', 'note']);
    const rows = await replica.rows(table, { columns: ['id', 'note'] });
    assert.deepEqual(sorted(rows), sorted([['1', 'x'], ['2', 'Y'], ...full(100, 3).map((id) => [id, 'z'])]));
    const keyless = replica.sink({ sink: 'other', leftOut: { 'public.people': ['id'] } });
    assert.equal((await keyless.check([table]))[0]?.severity, 'error');
    const refused = await openSession(t, keyless);
    await assert.rejects(apply(refused, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])])), { code: 'config-invalid' });
  });

  test('a column that is no longer left out stops the sink: its rows lack the values', async (t) => {
    const replica = await harness.replica(t);
    const first = await openSession(t, replica.sink({ leftOut: { 'public.people': ['name'] } }));
    await apply(first, positionAt(1), changes(table, [insert(table, ['1', 'secret', 'x'])]));
    await first.close();
    const second = await openSession(t, replica.sink());
    await assert.rejects(apply(second, positionAt(2), changes(table, [insert(table, ['2', 'b', 'y'])])), { code: 'sink-shape' });
  });
}
