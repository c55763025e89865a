import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fold, replicaName } from '../../../src/sink/sqlite/replica-table.ts';
import { openSession, sorted } from '../../contract/sink.ts';
import { altered, apply, changes, insert, positionAt, remove, tableOf } from '../../contract/sink-samples.ts';
import { sqliteReplica } from './replica.ts';

const columns = [['id', 'integer'], ['name', 'text'], ['note', 'text']] as const;
const table = tableOf({ columns });

test('no two tables of the source get one name', () => {
  const none = { rename: {}, leaveOut: {} };
  const part = fc.oneof(fc.constantFrom('public', 'a', 'a.b', '.', 'a%2Eb', '%', 'public.a'), fc.string({ unit: fc.constantFrom('a', '.', '%', '2', 'E'), minLength: 1, maxLength: 5 }));
  const pair = fc.record({ schema: part, name: part });
  fc.assert(
    fc.property(pair, pair, (a, b) => {
      assert.equal(replicaName(a, none) === replicaName(b, none), a.schema === b.schema && a.name === b.name);
    }),
    { numRuns: 5000 },
  );
  assert.equal(replicaName({ schema: 'public', name: 'orders' }, none), 'orders');
  assert.equal(replicaName({ schema: 'sales', name: 'orders' }, none), 'sales.orders');
});

test('names are folded as SQLite folds them: ASCII letters only', () => {
  assert.equal(fold('ÄbC'), 'Äbc');
});

test('tables that differ in case alone stop the sink before one writes into the other', async (t) => {
  const replica = await sqliteReplica(t);
  const upper = tableOf({ columns, name: 'People' });
  const findings = await replica.sink().check([table, upper]);
  assert.equal(findings.length, 1);
  assert.match(findings[0]?.message ?? '', /public\.people and public\.People/);
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  await assert.rejects(apply(session, positionAt(2), changes(upper, [insert(upper, ['1', 'b', 'y'])])), { code: 'sink-conflict' });
});

test('columns that differ in case alone both arrive, and keep their names when others come and go', async (t) => {
  const replica = await sqliteReplica(t);
  const twins = tableOf({ name: 'twins', columns: [['id', 'integer'], ['Name', 'text'], ['name', 'text']] });
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(twins, [insert(twins, ['1', 'A', 'a'])]));
  assert.deepEqual(await replica.columns(twins), ['id', 'Name', 'name%3']);
  const left = altered(twins, { columns: [['id', 'integer'], ['name', 'text']], attnums: [1, 3] });
  await apply(session, positionAt(2), changes(left, [insert(left, ['2', 'b'])]));
  assert.deepEqual(await replica.columns(left), ['id', 'name%3']);
  assert.deepEqual(replica.query('SELECT "name%3" n FROM twins').map((row) => row['n']), ['a', 'b']);
});

test('names that SQLite keeps for itself, views, and a name taken by another table are in the way', async (t) => {
  const replica = await sqliteReplica(t);
  await replica.sql('CREATE VIEW people AS SELECT 1 AS id, 2 AS name, 3 AS note');
  const named = (name: string): typeof table => tableOf({ columns, name });
  for (const each of [table, named('sqlite_stat1'), named('_tailrace_position')]) {
    assert.equal((await replica.sink().check([each])).length, 1, each.name);
    const session = await openSession(t, replica.sink());
    await assert.rejects(apply(session, positionAt(1), changes(each, [insert(each, ['1', 'a', 'x'])])), { code: 'sink-conflict' });
    await session.abort();
  }
  const elsewhere = await openSession(t, replica.sink({ rename: { 'public.people': 'folk' } }));
  await apply(elsewhere, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
});

test('a table whose types would change values does not fit', async (t) => {
  const replica = await sqliteReplica(t);
  const typed = tableOf({ name: 'typed', columns: [['id', 'integer'], ['n', 'numeric'], ['f', 'double precision'], ['b', 'bytea']] });
  await replica.sql('CREATE TABLE typed (id INTEGER PRIMARY KEY, n NUMERIC, f REAL, b TEXT)');
  const [finding] = await replica.sink().check([typed]);
  for (const column of ['n', 'f', 'b']) assert.match(finding?.message ?? '', new RegExp(`column ${column} `));
  await replica.sql('DROP TABLE typed; CREATE TABLE typed (id INTEGER PRIMARY KEY, n TEXT, f ANY, b BLOB) STRICT');
  assert.deepEqual(await replica.sink().check([typed]), []);
});

test('the operator\'s own columns, defaults and indexes stay, and a NOT NULL without a default is in the way', async (t) => {
  const replica = await sqliteReplica(t);
  await replica.sql("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, note TEXT, mine TEXT NOT NULL DEFAULT 'd'); CREATE INDEX by_name ON people (name)");
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  await replica.sql("UPDATE people SET mine = 'kept'");
  await apply(session, positionAt(2), changes(table, [insert(table, ['1', 'b', 'y'])]));
  assert.deepEqual(replica.query('SELECT name, mine FROM people').map((row) => Object.values(row)), [['b', 'kept']]);
  const strict = tableOf({ columns, name: 'strict' });
  await replica.sql('CREATE TABLE strict (id INTEGER PRIMARY KEY, name TEXT, note TEXT, mine TEXT NOT NULL)');
  assert.match((await replica.sink().check([strict]))[0]?.message ?? '', /mine/);
});

test('foreign keys of the operator\'s do not refuse what the source allowed', async (t) => {
  const replica = await sqliteReplica(t);
  await replica.sql('CREATE TABLE other (id INTEGER PRIMARY KEY); CREATE TABLE people (id INTEGER PRIMARY KEY REFERENCES other, name TEXT, note TEXT)');
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  assert.equal((await replica.rows(table)).length, 1);
});

test('a table that is made again for another key keeps what the operator has added to it', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  await replica.sql(`ALTER TABLE people ADD COLUMN mine TEXT NOT NULL DEFAULT 'd'; UPDATE people SET mine = 'kept'; CREATE INDEX by_note ON people (note);
    CREATE TABLE seen (id INTEGER); CREATE TRIGGER see AFTER INSERT ON people BEGIN INSERT INTO seen VALUES (new.id); END; CREATE VIEW shown AS SELECT name, mine FROM people`);
  const next = altered(table, { columns: [columns[0], ['label', 'text'], columns[2]], key: [1] });
  await apply(session, positionAt(2), changes(next, [insert(next, ['2', 'b', 'y'])]));
  assert.deepEqual(replica.query('SELECT label, mine FROM people ORDER BY label').map((row) => Object.values(row)), [['a', 'kept'], ['b', 'd']]);
  assert.deepEqual(replica.query('SELECT id FROM seen').map((row) => row['id']), [2], 'the trigger is there, and was not fired by the rows that stood');
  assert.deepEqual(replica.query("SELECT name FROM sqlite_schema WHERE name = 'by_note'").length, 1);
  assert.deepEqual(replica.query('SELECT * FROM shown').length, 2);
  assert.deepEqual(await replica.sink().check([next]), []);
});

test('a column of the operator\'s that a table cannot take along when it is made again stops the sink, until it is gone', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  await replica.sql('ALTER TABLE people ADD COLUMN twice TEXT AS (name || name)');
  const next = altered(table, { columns, key: [1] });
  await assert.rejects(apply(session, positionAt(2), changes(next, [insert(next, ['2', 'b', 'y'])])), { code: 'sink-shape', remedy: /people\.twice/ });
  await session.abort();
  await replica.sql('ALTER TABLE people DROP COLUMN twice');
  await apply(session, positionAt(2), changes(next, [insert(next, ['2', 'b', 'y'])]));
  assert.equal((await replica.rows(next)).length, 2);
});

test('rows that a new key does not tell apart stop the sink', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x']), insert(table, ['2', 'a', 'y'])]));
  const byName = altered(table, { columns, key: [1] });
  await assert.rejects(apply(session, positionAt(2), changes(byName, [])), { code: 'sink-shape' });
});

test('after the statement of the remedy a column newly left out, and a table newly renamed, are followed', async (t) => {
  const replica = await sqliteReplica(t);
  await apply(await openSession(t, replica.sink()), positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  const settings = { leftOut: { 'public.people': ['name'] }, rename: { 'public.people': 'folk' } };
  for (let round = 0; round < 2; round++) {
    const [finding] = await replica.sink(settings).check([table]);
    const statement = /ALTER TABLE .*/.exec(finding?.remedy ?? '')?.[0];
    assert.ok(statement, 'a statement to paste');
    const session = await openSession(t, replica.sink(settings));
    await assert.rejects(apply(session, positionAt(2), changes(table, [insert(table, ['2', 'b', 'y'])])), { code: 'sink-shape' });
    await session.close();
    await replica.sql(statement);
  }
  await apply(await openSession(t, replica.sink(settings)), positionAt(2), changes(table, [insert(table, ['2', 'b', 'y'])]));
  assert.deepEqual(replica.query('SELECT * FROM folk').map((row) => Object.values(row)), [[1, 'x'], [2, 'y']]);
});

test('D13: a dropped column that an index of the operator\'s uses is named, and goes once that is gone', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  const narrower = altered(table, { columns: [columns[0], columns[2]], attnums: [1, 3] });
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  await replica.sql('CREATE INDEX by_name ON people (name)');
  await assert.rejects(apply(session, positionAt(2), changes(narrower, [insert(narrower, ['2', 'y'])])), { code: 'sink-shape' });
  await session.abort();
  await replica.sql('DROP INDEX by_name');
  await apply(session, positionAt(2), changes(narrower, [insert(narrower, ['2', 'y'])]));
  assert.deepEqual(await replica.columns(narrower), ['id', 'note']);
});

test('a new column whose name the operator has taken stops the sink', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  const wider = altered(table, { columns: [...columns, ['mine', 'text']] });
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  await replica.sql("ALTER TABLE people ADD COLUMN mine TEXT DEFAULT 'operator'");
  await assert.rejects(apply(session, positionAt(2), changes(wider, [insert(wider, ['2', 'b', 'y', 'z'])])), { code: 'sink-shape' });
});

test('a wider integer and a text of another length need nothing', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  const narrow = tableOf({ name: 'grows', columns: [['id', 'integer'], ['n', 'smallint']] });
  const wide = altered(narrow, { columns: [['id', 'bigint'], ['n', 'bigint']] });
  await apply(session, positionAt(1), changes(narrow, [insert(narrow, ['1', '2'])]));
  await apply(session, positionAt(2), changes(wide, [insert(wide, ['9007199254740993', '3'])]));
  assert.deepEqual(sorted(await replica.rows(wide)), sorted([['1', '2'], ['9007199254740993', '3']]));
});

test('a table dropped and made again is told by its relid, and columns go by their names', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  const again = tableOf({ columns: [columns[0], columns[2], columns[1]] });
  await apply(session, positionAt(2), changes(again, [insert(again, ['2', 'note', 'name'])]));
  assert.deepEqual(await replica.rows(again, { columns: ['id', 'name'] }), [['2', 'name']]);
});

test('a table of which nothing would be left is refused with what to do', async (t) => {
  const replica = await sqliteReplica(t);
  const bag = tableOf({ name: 'bag', columns: [['a', 'text']], key: [] });
  const settings = { leftOut: { 'public.bag': ['a'] } };
  assert.equal((await replica.sink(settings).check([bag]))[0]?.severity, 'error');
  const session = await openSession(t, replica.sink(settings));
  await assert.rejects(apply(session, positionAt(1), changes(bag, [])), { code: 'config-invalid' });
});

test('D2: a table whose last column goes is made again around a column that stands for none, which goes with the next one that comes', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  const bag = tableOf({ name: 'bag', columns: [['a', 'text']], key: [] });
  const bare = altered(bag, { columns: [] });
  const wider = altered(bare, { columns: [['b', 'text']], attnums: [2] });
  await apply(session, positionAt(1), changes(bag, [insert(bag, ['1']), insert(bag, ['2'])]));
  await apply(session, positionAt(2), changes(bare, [insert(bare, []), remove(bare, [])]));
  assert.deepEqual(await replica.columns(bare), ['_tailrace_no_columns']);
  await apply(session, positionAt(3), changes(wider, [insert(wider, ['3'])]));
  assert.deepEqual(await replica.columns(wider), ['b']);
  assert.deepEqual(sorted(await replica.rows(wider)), sorted([[null], [null], ['3']]));
});

test('D2: with ddl: ignore a table whose last column goes stops the sink, because no column at the replica stands for a row', async (t) => {
  const replica = await sqliteReplica(t);
  const bag = tableOf({ name: 'bag', columns: [['a', 'text']], key: [] });
  const session = await openSession(t, replica.sink({ ddl: 'ignore' }));
  await apply(session, positionAt(1), changes(bag, [insert(bag, ['1'])]));
  const bare = altered(bag, { columns: [] });
  await assert.rejects(apply(session, positionAt(2), changes(bare, [insert(bare, [])])), { code: 'sink-shape' });
});
