import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import pg from 'pg';
import { rowText } from '../../../src/event/row-text.ts';
import type { TableShape } from '../../../src/event/table.ts';
import { shortMd5 } from '../../../src/runtime/md5.ts';
import { openPostgresSourceVerifier } from '../../../src/source/postgres/verifier.ts';
import type { SourceDigests, SourceVerifier } from '../../../src/source/verifier.ts';
import { freshDatabase, sharedPostgres, startPostgres, targetOf, type TestDatabase } from '../../support/postgres.ts';
import { eventually } from '../../support/wait.ts';

async function verifierOf(t: TestContext, url: string, publication = 'none'): Promise<SourceVerifier> {
  const verifier = await openPostgresSourceVerifier({ target: targetOf(url), applicationName: 'tailrace/test', publication });
  t.after(() => verifier.close());
  return verifier;
}

async function session(t: TestContext, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  t.after(() => client.end());
  return client;
}

async function shapeOf(verifier: SourceVerifier, database: Pick<TestDatabase, 'sql'>, table: string): Promise<TableShape> {
  const [row] = await database.sql<{ oid: string }>('SELECT $1::regclass::oid::text AS oid', [table]);
  const shape = await verifier.shape(Number(row?.oid));
  assert.ok(shape);
  return shape;
}

const all = (shape: TableShape): number[] => shape.columns.map((_, i) => i);

async function rowsOf(digests: SourceDigests): Promise<ReadonlyMap<string, string>> {
  return digests.rows({ of: 1, buckets: [0] });
}

test('a row that is untouched has one version and is quiet; one that somebody is changing is not, though it looks the same', async (t) => {
  const database = await freshDatabase(t);
  await database.sql("CREATE TABLE items (id int PRIMARY KEY, x text); INSERT INTO items VALUES (1, 'a'), (2, 'b'), (3, 'c')");
  const verifier = await verifierOf(t, database.url);
  const shape = await shapeOf(verifier, database, 'items');
  const digests = verifier.digests(shape, all(shape));
  const ids = ['["1"]', '["2"]', '["3"]', '["4"]'];
  const before = await digests.watch(ids);
  assert.deepEqual([...before.keys()].toSorted(), ids.slice(0, 3));
  assert.ok([...before.values()].every(({ quiet }) => quiet));
  assert.equal((await digests.writers()).size, 0);

  const other = await session(t, database.url);
  await other.query("BEGIN; UPDATE items SET x = 'z' WHERE id = 2; DELETE FROM items WHERE id = 3; INSERT INTO items VALUES (4, 'd')");
  const writers = await digests.writers();
  assert.equal(writers.size, 1);
  const during = await digests.watch(ids);
  assert.deepEqual(new Map([...during].map(([id, row]) => [id, row.quiet])), new Map([['["1"]', true], ['["2"]', false], ['["3"]', false]]));
  for (const [id, row] of before) assert.deepEqual([during.get(id)?.state, during.get(id)?.version], [row.state, row.version]);

  await other.query('COMMIT');
  const after = await digests.watch(ids);
  assert.deepEqual([...after.keys()].toSorted(), ['["1"]', '["2"]', '["4"]']);
  assert.notEqual(after.get('["2"]')?.version, before.get('["2"]')?.version);
  assert.equal(after.get('["1"]')?.version, before.get('["1"]')?.version);
  assert.equal((await digests.writers()).size, 0);
});

test('a commit that waits for a standby is in the WAL and not visible, and its transaction is among the writers', async (t) => {
  const server = await startPostgres({}, t);
  const url = await server.createDatabase('shop');
  const sql = <Row>(text: string, params?: readonly unknown[]): Promise<Row[]> => server.sql<Row>(text, params, 'shop');
  await sql("CREATE TABLE items (id int PRIMARY KEY, x text); INSERT INTO items VALUES (1, 'a')");
  await sql("SELECT pg_create_logical_replication_slot('look', 'test_decoding')");
  const verifier = await verifierOf(t, url);
  const shape = await shapeOf(verifier, { sql }, 'items');
  const digests = verifier.digests(shape, all(shape));
  const before = await digests.watch(['["1"]', '["2"]']);

  await sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  await sql('SELECT pg_reload_conf()');
  const other = await session(t, url);
  await eventually(async () => (await other.query<{ synchronous_standby_names: string }>('SHOW synchronous_standby_names')).rows[0]?.synchronous_standby_names === 'nobody');
  const hanging = other.query("BEGIN; UPDATE items SET x = 'b' WHERE id = 1; INSERT INTO items VALUES (2, 'c'); COMMIT");
  await eventually(async () => (await sql("SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'")).length > 0);

  const decoded = await sql<{ data: string }>("SELECT data FROM pg_logical_slot_peek_changes('look', NULL, NULL)");
  assert.ok(decoded.some(({ data }) => data.includes("x[text]:'b'")), 'whoever reads the WAL has the change');
  const during = await digests.watch(['["1"]', '["2"]']);
  assert.deepEqual([...during.keys()], ['["1"]']);
  assert.equal(during.get('["1"]')?.state, before.get('["1"]')?.state);
  assert.equal(during.get('["1"]')?.quiet, false);
  assert.equal((await digests.writers()).size, 1);

  await sql("ALTER SYSTEM RESET synchronous_standby_names");
  await sql('SELECT pg_reload_conf()');
  await hanging;
});

test('a marker gives an LSN below which everything had committed that was visible, and moves the WAL on', async (t) => {
  const database = await freshDatabase(t);
  const verifier = await verifierOf(t, database.url);
  const current = async (): Promise<bigint> => {
    const [row] = await database.sql<{ lsn: string }>("SELECT (pg_current_wal_insert_lsn() - '0/0')::text AS lsn");
    return BigInt(row?.lsn ?? 0);
  };
  const before = await current();
  const marker = await verifier.marker();
  assert.ok(marker >= before);
  assert.ok((await current()) > marker);
});

test('of a partitioned table every row is read, whatever the order of columns in a partition', async (t) => {
  const database = await freshDatabase(t);
  await database.sql(`
    CREATE TABLE parts (id int, at int, x text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE parts_2 (x text, at int NOT NULL, id int NOT NULL);
    ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (10) TO (20);
    INSERT INTO parts SELECT n, n, 'x' || n FROM generate_series(0, 19) n; ANALYZE`);
  const verifier = await verifierOf(t, database.url);
  const shape = await shapeOf(verifier, database, 'parts');
  const digests = verifier.digests(shape, all(shape));
  assert.equal((await rowsOf(digests)).size, 20);
  assert.equal(await verifier.estimate(shape.relid), 20);
  const rows = await digests.watch(['["5","5"]', '["15","15"]']);
  assert.ok([...rows.values()].every(({ quiet, version }) => quiet && version !== null));
  assert.equal(rows.size, 2);
  const other = await session(t, database.url);
  await other.query('BEGIN; DELETE FROM parts_2 WHERE id = 15');
  assert.equal((await digests.writers()).size, 1);
});

test('children by inheritance are tables of their own', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2)');
  const verifier = await verifierOf(t, database.url);
  const shape = await shapeOf(verifier, database, 'parent');
  assert.deepEqual([...(await rowsOf(verifier.digests(shape, [0]))).keys()], ['["1"]']);
});

test('only what the publication lets through is read: its rows, its columns', async (t) => {
  const database = await freshDatabase(t);
  const [version] = await database.sql<{ v: number }>("SELECT current_setting('server_version_num')::int AS v");
  if ((version?.v ?? 0) < 150_000) return t.skip('row filters came with PostgreSQL 15');
  await database.sql(`
    CREATE TABLE items (id int PRIMARY KEY, secret text, x text, g text GENERATED ALWAYS AS (x || '!') STORED);
    INSERT INTO items VALUES (1, 's', 'a'), (2, 's', 'b'), (30, 's', 'c');
    CREATE PUBLICATION part FOR TABLE items (id, x) WHERE (id < 10)`);
  const verifier = await verifierOf(t, database.url, 'part');
  const shape = await shapeOf(verifier, database, 'items');
  assert.deepEqual(shape.columns.map(({ name }) => name), ['id', 'x']);
  const digests = verifier.digests(shape, all(shape));
  assert.deepEqual(Object.fromEntries(await rowsOf(digests)), { '["1"]': shortMd5(rowText(['1', 'a'])), '["2"]': shortMd5(rowText(['2', 'b'])) });
  assert.deepEqual([...(await digests.watch(['["2"]', '["30"]'])).keys()], ['["2"]']);
  return undefined;
});

test('a composite value with a NULL in it is not NULL, and a key may be of a type of the user’s own', async (t) => {
  const database = await freshDatabase(t);
  await database.sql(`
    CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN tag AS text; CREATE TYPE pair AS (a int, b text);
    CREATE TABLE odd (m mood, t tag, p pair, n numeric(6,2), PRIMARY KEY (t, m, n));
    INSERT INTO odd VALUES ('ok', 'x', ROW(NULL, NULL), 1.5), ('sad', 'x"y', NULL, 2), ('sad', 'z', ROW(1, ''), 3)`);
  const verifier = await verifierOf(t, database.url);
  const shape = await shapeOf(verifier, database, 'odd');
  const digests = verifier.digests(shape, all(shape));
  const expected = {
    '["x","ok","1.50"]': shortMd5(rowText(['ok', 'x', '(,)', '1.50'])),
    '["x\\"y","sad","2.00"]': shortMd5(rowText(['sad', 'x"y', null, '2.00'])),
    '["z","sad","3.00"]': shortMd5(rowText(['sad', 'z', '(1,"")', '3.00'])),
  };
  assert.deepEqual(Object.fromEntries(await rowsOf(digests)), expected);
  assert.deepEqual([...(await digests.look(Object.keys(expected))).keys()].toSorted(), Object.keys(expected).toSorted());
  // Another text of the same number is another key, and a mood that there is not is nobody's.
  assert.equal((await digests.look(['["x","ok","1.5"]', '["x","happy","1.50"]'])).size, 0);
});

test('whether a column holds a value is told without reading it', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE items (id int PRIMARY KEY, x text, y text); INSERT INTO items VALUES (1, NULL, NULL), (2, NULL, $$v$$)');
  const verifier = await verifierOf(t, database.url);
  const shape = await shapeOf(verifier, database, 'items');
  assert.equal(await verifier.hasValues(shape, [1]), false);
  assert.equal(await verifier.hasValues(shape, [1, 2]), true);
});

test('texts of a database in another encoding are hashed in UTF-8', async (t) => {
  const server = await sharedPostgres();
  const name = `t_latin_${process.pid}`;
  await server.sql(`CREATE DATABASE ${name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`);
  t.after(() => server.sql(`DROP DATABASE ${name} WITH (FORCE)`).then(() => undefined));
  const sql = <Row>(text: string, params?: readonly unknown[]): Promise<Row[]> => server.sql<Row>(text, params, name);
  await sql("CREATE TABLE items (id text PRIMARY KEY, x text); INSERT INTO items VALUES ('ä', 'é')");
  const verifier = await verifierOf(t, server.url(name));
  const shape = await shapeOf(verifier, { sql }, 'items');
  const digests = verifier.digests(shape, all(shape));
  assert.deepEqual(Object.fromEntries(await rowsOf(digests)), { '["ä"]': shortMd5(rowText(['ä', 'é'])) });
  assert.equal((await digests.look(['["ä"]'])).get('["ä"]'), `${shortMd5('ä')},${shortMd5('é')}`);
});

test('a table that is gone has no shape, and a slot that is not there nobody reads', async (t) => {
  const database = await freshDatabase(t);
  const verifier = await verifierOf(t, database.url);
  assert.equal(await verifier.shape(4_000_000_000), null);
  assert.equal(await verifier.isRead('no_such_slot'), false);
});
