import assert from 'node:assert/strict';
import { appendFile, chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import pg from 'pg';
import { formatLsn } from '../../../src/event/lsn.ts';
import { freshDatabase, startPostgres, type TestDatabase } from '../../support/postgres.ts';
import { there } from '../../support/there.ts';
import { eventually } from '../../support/wait.ts';
import { connected, sourceOn, Tail } from './support.ts';

const { signal } = new AbortController();

/** Names in what is published, by publication. */
async function published(database: TestDatabase): Promise<Record<string, string>> {
  const rows = await database.sql<{ pubname: string; tables: string }>(
    "SELECT pubname, string_agg(tablename, ' ' ORDER BY tablename) AS tables FROM pg_publication_tables GROUP BY pubname",
  );
  return Object.fromEntries(rows.map((row) => [row.pubname, row.tables]));
}

test('publication and slot are made with what is matched, and found again the next time', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE no_key (id int)');
  const source = sourceOn(database.url, { pipeline: 'make-it' });
  const session = await source.connect({ signal });
  assert.equal(session.server.slotCreated, true);
  assert.deepEqual([session.server.slot, session.server.database], ['tailrace_make_it', database.name]);
  assert.equal(session.server.walFlushed >= session.server.confirmedFlush, true);
  assert.deepEqual(await published(database), { tailrace_make_it: 'a b' });
  assert.deepEqual(session.leftOut.map(({ severity, check, remedy }) => [severity, check, remedy]), [
    ['warning', 'replica-identity', 'ALTER TABLE "public"."no_key" REPLICA IDENTITY FULL; (or give it a primary key)'],
  ]);
  await session.close();
  const again = await connected(source, t);
  assert.equal(again.server.slotCreated, false);
});

test("a table without a usable identity stays out of our publication, so that the application's own update works", async (t) => {
  const database = await freshDatabase(t);
  await database.sql(`CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE none (id int); INSERT INTO none VALUES (1);
    CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING; INSERT INTO nothing VALUES (1);
    CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE); INSERT INTO deferred VALUES (1)`);
  const session = await connected(sourceOn(database.url), t);
  assert.deepEqual(session.tables.map((table) => table.name), ['a']);
  await database.sql('UPDATE none SET id = 2; UPDATE nothing SET id = 2; UPDATE deferred SET id = 2');
});

test("generated columns in a replica identity are published, or their table stays out: the application's own update works", async (t) => {
  const database = await freshDatabase(t);
  const generated = 'int GENERATED ALWAYS AS (id * 2)';
  await database.sql(`CREATE TABLE stored (id int, g ${generated} STORED); ALTER TABLE stored REPLICA IDENTITY FULL; INSERT INTO stored VALUES (1);
    CREATE TABLE key (id int, g ${generated} STORED PRIMARY KEY); INSERT INTO key VALUES (1);
    CREATE TABLE virtual (id int PRIMARY KEY, g ${generated} VIRTUAL); ALTER TABLE virtual REPLICA IDENTITY FULL; INSERT INTO virtual VALUES (1)`);
  const source = sourceOn(database.url, { pipeline: 'p' });
  const session = await source.connect({ signal });
  assert.deepEqual(session.tables.map(({ name, columns, key }) => [name, columns.length, key]), [['key', 2, [1]], ['stored', 2, []]]);
  assert.match(session.leftOut.map(({ message }) => message).join(), /^public.virtual is left out: .* includes g, a generated column that is not sent$/);
  await database.sql('UPDATE stored SET id = 2; UPDATE key SET id = 2; UPDATE virtual SET id = 2');
  await session.close();
  // A publication that was made on an older version, before the server was upgraded.
  await database.sql('ALTER PUBLICATION tailrace_p SET (publish_generated_columns = none)');
  await connected(source, t);
  await database.sql('UPDATE stored SET id = 3; UPDATE key SET id = 3');
});

test('tables that are added to the configuration are added to our publication, those that leave it are taken out', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE "c "" ; --" (id int PRIMARY KEY)');
  for (const [include, expected] of [[['public.a'], 'a'], [['*.*'], 'a b c " ; --'], [['public."c "" ; --"'], 'c " ; --']] as const) {
    const session = await sourceOn(database.url, { pipeline: 'p', config: { tables: { include } } }).connect({ signal });
    assert.deepEqual(await published(database), { tailrace_p: expected });
    await session.close();
  }
});

test('a table that lost its identity is taken out of our publication', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)');
  const source = sourceOn(database.url, { pipeline: 'p' });
  await (await source.connect({ signal })).close();
  await database.sql('ALTER TABLE b DROP CONSTRAINT b_pkey');
  await connected(source, t);
  assert.deepEqual(await published(database), { tailrace_p: 'a' });
});

test('a named publication is used as it is, and its other tables are passed over', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY); CREATE PUBLICATION mine FOR TABLE a, b');
  const session = await connected(sourceOn(database.url, { config: { publication: 'mine', tables: { include: ['public.*'], exclude: ['public.b'] } } }), t);
  const tail = new Tail(session);
  await database.sql('INSERT INTO b VALUES (1); INSERT INTO a VALUES (2); INSERT INTO c VALUES (3); TRUNCATE a, b');
  await eventually(() => tail.commits().length === 1);
  assert.deepEqual(tail.rows, ['c 1 public.a: 2', 't 2 public.a']);
  assert.deepEqual(await published(database), { mine: 'a b' });
  assert.deepEqual(session.leftOut.map((finding) => finding.remedy), ['ALTER PUBLICATION "mine" ADD TABLE "public"."c";']);
});

test('a publication for all tables is filtered by the configuration', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE PUBLICATION everything FOR ALL TABLES');
  const session = await connected(sourceOn(database.url, { config: { publication: 'everything', tables: { include: ['public.a', 'public.later'] } } }), t);
  const tail = new Tail(session);
  await database.sql('CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1); INSERT INTO b VALUES (1); INSERT INTO a VALUES (1)');
  await eventually(() => tail.commits().length >= 1);
  assert.deepEqual(tail.rows, ['c 0 public.later: 1', 'c 2 public.a: 1']);
});

test('a slot that is read elsewhere is named with its reader', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  const source = sourceOn(database.url, { pipeline: 'busy' });
  await connected(source, t);
  await assert.rejects(source.connect({ signal }), { code: 'slot-in-use', message: /tailrace_busy is in use by pid \d+ \(application tailrace\/busy, user postgres, from 127\.0\.0\.1\)$/ });
});

test('a slot that was given up by the server is slot-lost, and is not made anew', async (t) => {
  const server = await startPostgres({ settings: { max_slot_wal_keep_size: '1MB', min_wal_size: '2MB', max_wal_size: '2MB' }, initdbArgs: ['--wal-segsize=1'] }, t);
  const url = await server.createDatabase('shop');
  await server.sql('CREATE TABLE a (id int PRIMARY KEY)', [], 'shop');
  const source = sourceOn(url, { pipeline: 'late' });
  await (await source.connect({ signal })).close();
  await eventually(async () => {
    await server.sql("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)); SELECT pg_switch_wal(); CHECKPOINT");
    return (await server.sql("SELECT 1 FROM pg_replication_slots WHERE wal_status = 'lost'")).length === 1;
  });
  await assert.rejects(source.connect({ signal }), { code: 'slot-lost' });
  assert.equal((await server.sql('SELECT 1 FROM pg_replication_slots')).length, 1);
  const { findings } = await source.check();
  assert.ok(findings.some((finding) => finding.check === 'slot-lost' && finding.severity === 'error'));
});

test('a slot whose publication is gone is a gap: nobody knows what was not sent', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  const source = sourceOn(database.url, { pipeline: 'gone' });
  await (await source.connect({ signal })).close();
  await database.sql('DROP PUBLICATION tailrace_gone');
  await assert.rejects(source.connect({ signal }), { code: 'gap', remedy: /pg_drop_replication_slot\('tailrace_gone'\)/ });
});

test('a slot that was dropped and made again starts later, and says where', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  const source = sourceOn(database.url, { pipeline: 'again' });
  const first = await source.connect({ signal });
  await first.close();
  await database.sql("SELECT pg_drop_replication_slot('tailrace_again'); INSERT INTO a VALUES (1)");
  const second = await connected(source, t);
  assert.equal(second.server.slotCreated, true);
  assert.ok(second.server.confirmedFlush > first.server.confirmedFlush);
});

test('what is named and missing is never made', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  await assert.rejects(sourceOn(database.url, { config: { slot: 'theirs' } }).connect({ signal }), { code: 'source-not-ready', message: /theirs does not exist/ });
  await assert.rejects(sourceOn(database.url, { config: { publication: 'theirs' } }).connect({ signal }), { code: 'source-not-ready', message: /theirs does not exist/ });
  assert.deepEqual(await database.sql('SELECT 1 FROM pg_replication_slots WHERE database = current_database()'), []);
  assert.deepEqual(await published(database), {});
});

test('a slot of another plugin or database is refused', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  const name = `${database.name}_other`;
  await database.sql("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", [name]);
  await assert.rejects(sourceOn(database.url, { config: { slot: name } }).connect({ signal }), { code: 'source-not-ready', message: /plugin test_decoding/ });
});

test('teardown drops what Tailrace made, and nothing that was named', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY); CREATE PUBLICATION mine FOR TABLE a');
  const own = sourceOn(database.url, { pipeline: 'own' });
  const session = await own.connect({ signal });
  await assert.rejects(own.teardown(), { code: 'slot-in-use' });
  await session.close();
  assert.deepEqual(await own.teardown(), ['replication slot tailrace_own', 'publication tailrace_own']);
  assert.deepEqual(await own.teardown(), []);
  const slot = `${database.name}_mine`;
  await database.sql("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
  assert.deepEqual(await sourceOn(database.url, { config: { slot, publication: 'mine' } }).teardown(), []);
  assert.deepEqual(await published(database), { mine: 'a' });
});

test('a transaction that is open while the slot is made comes whole, or was there before', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  const writer = new pg.Client(database.url);
  await writer.connect();
  await writer.query('BEGIN; INSERT INTO a VALUES (1)');
  let made = false;
  const connecting = sourceOn(database.url).connect({ signal }).then((session) => {
    made = true;
    return session;
  });
  await eventually(async () => (await database.sql("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'")).length > 0);
  assert.equal(made, false);
  await writer.query('INSERT INTO a VALUES (2); COMMIT');
  await writer.end();
  const session = await connecting;
  t.after(() => session.close());
  const [table] = session.tables;
  assert.ok(table !== undefined);
  const chunk = there(await session.snapshots.chunk({ table, low: 'l', high: 'h', after: null, keys: null, maxRows: 10, maxBytes: 1 << 20, signal }));
  assert.equal(chunk.rows.count, 2);
});

test('connecting can be given up while it waits', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  const writer = new pg.Client(database.url);
  await writer.connect();
  await writer.query('BEGIN; INSERT INTO a VALUES (1)');
  const abort = new AbortController();
  const connecting = sourceOn(database.url).connect({ signal: abort.signal });
  await eventually(async () => (await database.sql("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'")).length > 0);
  abort.abort(new Error('given up'));
  await assert.rejects(connecting, { message: 'given up' });
  // The server notices that nobody waits any more, so that no slot is left behind when the writer ends.
  await eventually(async () => (await database.sql("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'")).length === 0);
  await writer.query('ROLLBACK');
  await writer.end();
  assert.deepEqual(await database.sql('SELECT 1 FROM pg_replication_slots WHERE database = current_database()'), []);
});

test('after a promotion the timeline and the place where it began are known', async (t) => {
  const server = await startPostgres({}, t);
  const url = await server.createDatabase('shop');
  await server.sql('CREATE TABLE a (id int PRIMARY KEY)', [], 'shop');
  const source = sourceOn(url);
  const before = await source.connect({ signal });
  assert.deepEqual([before.server.timeline, before.server.timelineSwitch], [1, undefined]);
  await before.close();
  await server.stop('fast');
  // Recovery from an archive that is empty ends at the end of the WAL, on a new timeline.
  await appendFile(join(server.dataDirectory, 'postgresql.auto.conf'), "restore_command = 'false'\n");
  await writeFile(join(server.dataDirectory, 'recovery.signal'), '');
  await chmod(join(server.dataDirectory, 'recovery.signal'), 0o666);
  await server.start();
  await eventually(async () => (await server.sql<{ r: boolean }>('SELECT pg_is_in_recovery() AS r'))[0]?.r === false);
  await server.sql('CHECKPOINT');
  const after = await connected(source, t);
  assert.equal(after.server.timeline, 2);
  assert.ok((after.server.timelineSwitch ?? 0n) > before.server.confirmedFlush - 1n);
  assert.equal(after.server.systemIdentifier, before.server.systemIdentifier);
});

test('health says what the slot holds', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY, v text)');
  const source = sourceOn(database.url);
  assert.equal(await source.slotHealth({ signal: new AbortController().signal }), null);
  const session = await connected(source, t);
  const before = await session.health();
  assert.deepEqual([before.slotActive, before.walStatus, before.safeWalSize], [true, 'reserved', null]);
  await database.sql("INSERT INTO a SELECT g, repeat('x', 1000) FROM generate_series(1, 2000) g");
  // At the least: the slot also holds what was written while others of this server were in a transaction, until it notices that they are over.
  const [written] = await database.sql<{ bytes: number }>(`SELECT (pg_current_wal_lsn() - '${formatLsn(session.server.confirmedFlush)}')::float8 AS bytes`);
  const least = written?.bytes ?? 0;
  assert.ok(least > 2_000_000);
  const after = await session.health();
  assert.ok(after.walHeldBytes >= least);
  assert.equal(after.confirmedFlush, session.server.confirmedFlush);
  await session.close();
  const left = await source.slotHealth({ signal: new AbortController().signal });
  assert.deepEqual([left?.slotActive, left?.walStatus], [false, 'reserved']);
  assert.ok((left?.walHeldBytes ?? 0) >= least, 'nobody has the slot, and WAL is kept for it');
});

test('a role with no more than the rights that are needed can do everything', async (t) => {
  const database = await freshDatabase(t);
  const role = `r_${database.name}`;
  await database.sql(`CREATE SCHEMA s; CREATE TABLE s.a (id int PRIMARY KEY); INSERT INTO s.a VALUES (1); CREATE PUBLICATION p FOR TABLE s.a;
    REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE ROLE ${role} LOGIN REPLICATION PASSWORD 'x'; GRANT USAGE ON SCHEMA s TO ${role}; GRANT SELECT ON s.a TO ${role}`);
  const url = new URL(database.url);
  url.username = role;
  url.password = 'x';
  const source = sourceOn(url.href, { config: { publication: 'p', tables: { include: ['s.*'] } } });
  assert.deepEqual((await source.check()).findings.filter((finding) => finding.severity === 'error'), []);
  const session = await source.connect({ signal });
  const tail = new Tail(session);
  const [table] = session.tables;
  assert.ok(table !== undefined);
  await session.snapshots.entered(table, { signal, onWait: () => {} });
  const chunk = there(await session.snapshots.chunk({ table, low: 'l', high: 'h', after: null, keys: null, maxRows: 10, maxBytes: 1 << 20, signal }));
  assert.equal(chunk.rows.count, 1);
  await database.sql('INSERT INTO s.a VALUES (2)');
  await eventually(() => tail.rows.includes('c 0 s.a: 2'));
  assert.equal((await session.health()).slotActive, true);
  await session.close();
  await source.teardown();
  await database.sql(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
});
