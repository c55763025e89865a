import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import pg from 'pg';
import type { SourceItem } from '../../../src/event/change.ts';
import type { TableShape } from '../../../src/event/table.ts';
import { freshDatabase, type TestDatabase } from '../../support/postgres.ts';
import { there } from '../../support/there.ts';
import { eventually } from '../../support/wait.ts';
import { connected, describeRow, sourceOn, Tail } from './support.ts';

async function streaming(t: TestContext, sql: string): Promise<{ database: TestDatabase; tail: Tail }> {
  const database = await freshDatabase(t);
  await database.sql(sql);
  return { database, tail: new Tail(await connected(sourceOn(database.url, { config: { messages: ['*'] } }), t)) };
}

let markers = 0;

/** Rows so far, once the marker has come: nothing more is on its way. */
async function rowsBefore(tail: Tail, database: TestDatabase): Promise<string[]> {
  const content = String(++markers);
  await database.sql("SELECT pg_logical_emit_message(true, 'marker', $1)", [content]);
  const isMarker = (item: SourceItem): boolean => item.op === 'm' && item.prefix === 'marker' && Buffer.from(item.content).toString() === content;
  await eventually(() => tail.items.some(isMarker) && tail.items.at(-1)?.op !== 'm', { what: `the marker, behind ${tail.rows.join('; ')}` });
  return tail.rows.filter((row) => !row.includes('marker'));
}

function shapes(tail: Tail): TableShape[] {
  const found: TableShape[] = [];
  for (const item of tail.items) if ('table' in item && found.at(-1) !== item.table) found.push(item.table);
  return found;
}

test('rows of one COPY, which all have one LSN, have ordinals of their own', async (t) => {
  const { database, tail } = await streaming(t, 'CREATE TABLE a (id int PRIMARY KEY)');
  await database.sql('INSERT INTO a SELECT generate_series(1, 5)');
  assert.deepEqual(await rowsBefore(tail, database), [1, 2, 3, 4, 5].map((id) => `c ${id - 1} public.a: ${id}`));
});

test('what is rolled back is never seen, in savepoints neither, and takes no ordinal', async (t) => {
  const { database, tail } = await streaming(t, 'CREATE TABLE a (id int PRIMARY KEY)');
  await database.sql('BEGIN; INSERT INTO a VALUES (1); SAVEPOINT s; INSERT INTO a VALUES (2); ROLLBACK TO s; INSERT INTO a VALUES (3); COMMIT');
  await database.sql("BEGIN; INSERT INTO a VALUES (4); SELECT pg_logical_emit_message(false, 'untransactional', 'x'); ROLLBACK");
  assert.deepEqual(await rowsBefore(tail, database), ['c 0 public.a: 1', 'c 1 public.a: 3']);
});

test('transactions come in the order of their commits, not of their beginnings', async (t) => {
  const { database, tail } = await streaming(t, 'CREATE TABLE a (id int PRIMARY KEY)');
  const long = new pg.Client(database.url);
  await long.connect();
  await long.query('BEGIN; INSERT INTO a VALUES (1)');
  await database.sql('INSERT INTO a VALUES (2)');
  await long.query('INSERT INTO a VALUES (3)');
  await long.query('COMMIT');
  await long.end();
  assert.deepEqual(await rowsBefore(tail, database), ['c 0 public.a: 2', 'c 0 public.a: 1', 'c 1 public.a: 3']);
});

test('a prepared transaction comes when it is committed, and not at all when it is rolled back', async (t) => {
  const { database, tail } = await streaming(t, 'CREATE TABLE a (id int PRIMARY KEY)');
  await database.sql(`BEGIN; INSERT INTO a VALUES (1); PREPARE TRANSACTION '${database.name}_1'`);
  await database.sql(`BEGIN; INSERT INTO a VALUES (2); PREPARE TRANSACTION '${database.name}_2'`);
  await database.sql('INSERT INTO a VALUES (3)');
  await database.sql(`COMMIT PREPARED '${database.name}_1'`);
  await database.sql(`ROLLBACK PREPARED '${database.name}_2'`);
  assert.deepEqual(await rowsBefore(tail, database), ['c 0 public.a: 3', 'c 0 public.a: 1']);
});

test('an unchanged TOAST value is absent, in the new image of a key change too, and in the old one under identity full it is there', async (t) => {
  const { database, tail } = await streaming(t, `CREATE TABLE a (id int PRIMARY KEY, n int, big text); ALTER TABLE a ALTER big SET STORAGE EXTERNAL;
    CREATE TABLE f (id int PRIMARY KEY, n int, big text); ALTER TABLE f ALTER big SET STORAGE EXTERNAL; ALTER TABLE f REPLICA IDENTITY FULL`);
  await database.sql("INSERT INTO a VALUES (1, 1, repeat('x', 3000)); INSERT INTO f SELECT * FROM a");
  await database.sql('UPDATE a SET n = 2; UPDATE a SET id = 2; UPDATE f SET n = 2');
  const big = 'x'.repeat(3000);
  assert.deepEqual((await rowsBefore(tail, database)).slice(2), ['u 0 public.a: 1 2 ~', 'u 1 public.a: [key 1 ∅ ∅] 2 2 ~', `u 2 public.f: [full 1 1 ${big}] 1 2 ~`]);
});

test('ANALYZE makes the server describe the table again, and the shape stays the same object', async (t) => {
  const { database, tail } = await streaming(t, 'CREATE TABLE a (id int PRIMARY KEY)');
  for (let id = 1; id <= 3; id++) await database.sql(`INSERT INTO a VALUES (${id}); ANALYZE a`);
  await rowsBefore(tail, database);
  assert.equal(shapes(tail).length, 1);
});

for (const [what, ddl, same] of [
  ['a column is added', 'ALTER TABLE a ADD COLUMN w int DEFAULT 5', false],
  ['a column is dropped', 'ALTER TABLE a DROP COLUMN v', false],
  // It could be the old one, moved by names that were changed to and fro: only a look at the catalog tells.
  ['a column is dropped and added under its name', 'ALTER TABLE a DROP COLUMN v; ALTER TABLE a ADD COLUMN v text', 'unsure'],
  ['a column is renamed', 'ALTER TABLE a RENAME COLUMN v TO w', false],
  ['two columns swap their names', 'ALTER TABLE a RENAME COLUMN v TO x; ALTER TABLE a RENAME COLUMN u TO v; ALTER TABLE a RENAME COLUMN x TO u', false],
  ['a type modifier changes', 'ALTER TABLE a ALTER COLUMN v TYPE varchar(30)', false],
  ['NOT NULL is set', 'ALTER TABLE a ALTER COLUMN v SET NOT NULL', false],
  ['the key changes', 'ALTER TABLE a DROP CONSTRAINT a_pkey; ALTER TABLE a ADD PRIMARY KEY (id, u)', false],
  ['the replica identity changes', 'ALTER TABLE a REPLICA IDENTITY FULL', false],
  ['the table is renamed', 'ALTER TABLE a RENAME TO b', false],
  ['an index is made', 'CREATE INDEX ON a (v)', true],
  ['a default is set', "ALTER TABLE a ALTER COLUMN v SET DEFAULT 'd'", true],
  ['a comment is set', "COMMENT ON TABLE a IS 'a comment'", true],
] as const) {
  test(`when ${what} the shape is ${same === true ? 'the same object' : same ? 'another one, and unsure' : 'another one, and the catalog confirms it'}`, async (t) => {
    const { database, tail } = await streaming(t, 'CREATE TABLE a (id int PRIMARY KEY, v text, u text)');
    await database.sql("INSERT INTO a VALUES (1, 'v', 'u')");
    await rowsBefore(tail, database);
    // In one transaction: two shapes under one commit LSN.
    await database.sql(`BEGIN; INSERT INTO a VALUES (2, 'v', 'u'); ${ddl}; UPDATE ${what.includes('table is renamed') ? 'b' : 'a'} SET id = id + 10 WHERE id = 2; COMMIT`);
    await rowsBefore(tail, database);
    const [before, after] = shapes(tail);
    assert.ok(before !== undefined);
    if (same === true) return assert.equal(after, undefined);
    assert.ok(after !== undefined, 'another object');
    if (same === 'unsure') return assert.deepEqual(after.columns.map(({ attnum }) => attnum), [null, null, null]);
    const rows = await database.sql<{ name: string; attnum: number; type: string }>(
      'SELECT attname AS name, attnum, format_type(atttypid, atttypmod) AS type FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum', [after.relid],
    );
    assert.deepEqual(after.columns.map(({ name, attnum, type }) => ({ name, attnum, type })), rows);
  });
}

test('what the stream describes and the catalog no longer has is not guessed at', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE gone (id int PRIMARY KEY)');
  const source = sourceOn(database.url, { config: { messages: ['*'] } });
  await (await source.connect({ signal: new AbortController().signal })).close();
  await database.sql("INSERT INTO a VALUES (1, 'x'); INSERT INTO gone VALUES (1)");
  await database.sql('ALTER TABLE a DROP COLUMN v; ALTER TABLE a ADD COLUMN w numeric(10,2); DROP TABLE gone; INSERT INTO a VALUES (2, 5)');
  const tail = new Tail(await connected(source, t));
  assert.deepEqual(await rowsBefore(tail, database), ['c 0 public.a: 1 x', 'c 1 public.gone: 1', 'c 0 public.a: 2 5.00']);
  const [old, gone, now] = shapes(tail);
  assert.deepEqual(old?.columns.map(({ name, attnum, type }) => [name, attnum, type]), [['id', null, 'integer'], ['v', null, 'text']]);
  assert.deepEqual(gone?.columns.map(({ name, attnum }) => [name, attnum]), [['id', null]]);
  assert.deepEqual(now?.columns.map(({ name, attnum, type }) => [name, attnum, type]), [['id', 1, 'integer'], ['w', 3, 'numeric(10,2)']]);
  assert.deepEqual([old?.key, gone?.key], [[0], [0]]);
});

test('names of every kind arrive as they are', async (t) => {
  const database = await freshDatabase(t);
  await database.sql(`CREATE SCHEMA "Quoted_"" . Schema";
    CREATE TABLE "Quoted_"" . Schema"."select ""; drop table x; --" ("Quoted_"" . Column" int PRIMARY KEY, "é🙂" text)`);
  const session = await connected(sourceOn(database.url, { config: { tables: { include: ['"Quoted_"" . Schema".*'] } } }), t);
  const named = new Tail(session);
  await database.sql(`INSERT INTO "Quoted_"" . Schema"."select ""; drop table x; --" VALUES (1, 'x')`);
  await eventually(() => named.rows.length === 1);
  assert.deepEqual(shapes(named).map(({ schema, name, columns }) => [schema, name, columns.map((column) => column.name)]), [
    ['Quoted_" . Schema', 'select "; drop table x; --', ['Quoted_" . Column', 'é🙂']],
  ]);
  const [table] = session.tables;
  assert.ok(table !== undefined);
  const chunk = there(await session.snapshots.chunk({ table, low: 'l', high: 'h', after: null, keys: null, maxRows: 9, maxBytes: 1 << 20, signal: new AbortController().signal }));
  assert.equal(chunk.rows.count, 1);
});

test('whose rows a partitioned table brings is told in front of the first of each partition, and of nothing else', async (t) => {
  const { database, tail } = await streaming(t, `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);
    CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (100);
    CREATE TABLE high PARTITION OF p FOR VALUES FROM (100) TO (1000) PARTITION BY RANGE (id); CREATE TABLE highest PARTITION OF high FOR VALUES FROM (900) TO (1000)`);
  // Two tables are described one after the other, and then a row of the first one comes.
  await database.sql('TRUNCATE a, b; INSERT INTO a VALUES (1)');
  await database.sql('INSERT INTO b VALUES (1); INSERT INTO p VALUES (1), (2); INSERT INTO highest VALUES (901); UPDATE p SET id = 902 WHERE id = 1; DELETE FROM low; INSERT INTO a VALUES (2)');
  await rowsBefore(tail, database);
  const oids = await database.sql<{ oid: string }>("SELECT unnest(ARRAY['low'::regclass, 'highest'])::oid::text AS oid");
  const met = tail.items.flatMap((item, at) => (item.op === 'partition' ? [[item.table.name, item.partition, describeRow(tail.items[at + 1] as SourceItem)]] : []));
  assert.deepEqual(met, [['p', oids[0]?.oid, 'c 1 public.p: 1'], ['p', oids[1]?.oid, 'c 3 public.p: 901']]);
});
