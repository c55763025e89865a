import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { PgConnection } from '../../../src/runtime/postgres/connection.ts';
import { failureKind } from '../../../src/runtime/postgres/sqlstate.ts';
import { CopyOut, submit } from '../../../src/source/postgres/copy-out.ts';
import { openReplication } from '../../../src/source/postgres/open-replication.ts';
import { freshDatabase, startPostgres, targetOf } from '../../support/postgres.ts';
import { stoppingServer } from '../../support/stopping-server.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { eventually } from '../../support/wait.ts';
import { connected, sourceOn, Tail } from './support.ts';

test('a reader that acknowledges nothing does not keep the server from stopping', async (t) => {
  const server = await startPostgres({}, t);
  const url = await server.createDatabase('shop');
  await server.sql('CREATE TABLE a (id int PRIMARY KEY)', [], 'shop');
  const session = await connected(sourceOn(url), t);
  const tail = new Tail(session);
  await server.sql('INSERT INTO a VALUES (1)', [], 'shop');
  await eventually(() => tail.commits().length === 1);
  const begun = performance.now();
  await server.stop('fast');
  // Left alone the walsender would wait for the acknowledgement for ever; wal_sender_timeout alone would end it after a minute.
  assert.ok(performance.now() - begun < 20_000, `${performance.now() - begun} ms`);
  await tail.done;
  assert.equal((tail.error as { code?: string }).code, 'source-unreachable');
});

test('a reader that nobody pulls from does not keep the server from stopping either', async (t) => {
  const server = await startPostgres({}, t);
  const url = await server.createDatabase('shop');
  await server.sql('CREATE TABLE a (id int PRIMARY KEY, v text)', [], 'shop');
  await connected(sourceOn(url, { maxQueueBytes: 100_000 }), t);
  await server.sql("INSERT INTO a SELECT g, repeat('x', 1000) FROM generate_series(1, 5000) g", [], 'shop');
  const begun = performance.now();
  await server.stop('fast');
  assert.ok(performance.now() - begun < 20_000, `${performance.now() - begun} ms`);
});

test('a walsender that is ended is source-unreachable, and what was not acknowledged comes again', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  const source = sourceOn(database.url);
  const tail = new Tail(await connected(source, t));
  await database.sql('INSERT INTO a VALUES (1)');
  await eventually(() => tail.commits().length === 1);
  await database.sql('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()');
  await tail.done;
  assert.equal((tail.error as { code?: string }).code, 'source-unreachable');
  const again = new Tail(await connected(source, t));
  await eventually(() => again.commits().length === 1);
  assert.deepEqual(again.rows, ['c 0 public.a: 1']);
});

test('the end of the ordinary session ends the replication too', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  const tail = new Tail(await connected(sourceOn(database.url), t));
  await database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tailrace/%' AND backend_type = 'client backend'");
  await tail.done;
  assert.equal((tail.error as { code?: string }).code, 'source-unreachable');
  await eventually(async () => (await database.sql('SELECT 1 FROM pg_stat_replication WHERE application_name LIKE $1', ['tailrace/t-%'])).length === 0 ||
    (await database.sql('SELECT 1 FROM pg_replication_slots WHERE database = current_database() AND active')).length === 0);
});

test('a network that swallows everything is source-unreachable', async (t) => {
  const server = await startPostgres({ settings: { wal_sender_timeout: '1500ms' } }, t);
  const url = await server.createDatabase('shop');
  await server.sql('CREATE TABLE a (id int PRIMARY KEY)', [], 'shop');
  const proxy = await TcpProxy.start(server);
  t.after(() => proxy.close());
  const tail = new Tail(await connected(sourceOn(proxy.through(url)), t));
  await server.sql('INSERT INTO a VALUES (1)', [], 'shop');
  await eventually(() => tail.commits().length === 1);
  proxy.blackhole('both');
  await tail.done;
  assert.equal((tail.error as { code?: string }).code, 'source-unreachable');
  assert.ok(proxy.swallowed.up > 0, 'the fault happened');
});

test('a look-up whose question is lost does not outlive the connection', async (t) => {
  const server = await startPostgres({ settings: { wal_sender_timeout: '1500ms' } }, t);
  const url = await server.createDatabase('shop');
  await server.sql('CREATE TABLE a (id int PRIMARY KEY)', [], 'shop');
  const proxy = await TcpProxy.start(server);
  t.after(() => proxy.close());
  const session = await connected(sourceOn(proxy.through(url)), t);
  const tail = new Tail(session);
  proxy.blackhole('up');
  // The first row brings a Relation, about which the catalog is asked in vain; the server gives us up at its timeout.
  await server.sql('INSERT INTO a VALUES (1)', [], 'shop');
  await tail.done;
  assert.equal((tail.error as { code?: string }).code, 'source-unreachable');
  assert.ok(proxy.swallowed.up > 0, 'the fault happened');
  await assert.rejects(session.health(), { code: 'source-unreachable' });
});

test('a connection that ends without a word, in the middle of a copy or before the slot is taken, is unreachable', async (t) => {
  const database = await freshDatabase(t);
  const proxy = await TcpProxy.before(database.url);
  t.after(() => proxy.close());
  const target = targetOf(proxy.through(database.url));
  const session = await PgConnection.open(target, { applicationName: 'tailrace/test' });
  t.after(() => session.close());
  const replication = await openReplication(target, { applicationName: 'tailrace/test' });
  t.after(() => replication.dispose());
  const copied = submit(session.client, new CopyOut('COPY (SELECT pg_sleep(3600)) TO STDOUT', { columns: 1 })).all();
  await eventually(async () => (await database.sql("SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", [session.pid])).length === 1);
  proxy.blackhole('up');
  const identified = replication.query('IDENTIFY_SYSTEM');
  proxy.end();
  const unreachable = (error: unknown): boolean => failureKind(error) === 'unreachable';
  await Promise.all([copied, identified].map((asked) => assert.rejects(asked, unreachable)));
  await assert.rejects(replication.query('IDENTIFY_SYSTEM'), unreachable);
});

test('a server that stops in the same breath as it lets the replication in is unreachable', async (t) => {
  const target = targetOf(await stoppingServer(t));
  const replication = await openReplication(target, { applicationName: 'tailrace/test' });
  t.after(() => replication.dispose());
  await assert.rejects(replication.query('IDENTIFY_SYSTEM'), (error) => failureKind(error) === 'unreachable');
});

test('a stop waits for nobody, wherever a connection that is being made has got to', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  const proxy = await TcpProxy.before(database.url);
  t.after(() => proxy.close());
  const source = sourceOn(proxy.through(database.url));
  // So that the network can be stopped while a connection is at some place, and not behind it.
  proxy.delay('down', 100);
  const until = async (come: () => boolean): Promise<void> => {
    while (!come()) await delay(1);
  };
  const questions = [(signal: AbortSignal) => source.slotHealth({ signal }), (signal: AbortSignal) => source.connect({ signal })];
  for (const [ask, connections, bytes] of [[0, 1, 0], [0, 1, 1], [0, 1, 500], [1, 1, 1], [1, 1, 500], [1, 2, 1], [1, 2, 500]] as const) {
    proxy.blackhole('both', false);
    const before = proxy.connections;
    const stop = new AbortController();
    const asked = assert.rejects(questions[ask]?.(stop.signal) as Promise<unknown>, { name: 'AbortError' }, `question ${ask}, connection ${connections} behind ${bytes} bytes`);
    await until(() => proxy.connections === before + connections);
    const heard = proxy.forwarded.down;
    await until(() => proxy.forwarded.down >= heard + bytes);
    const swallowed = proxy.swallowed.up + proxy.swallowed.down;
    proxy.blackhole('both');
    await until(() => proxy.swallowed.up + proxy.swallowed.down > swallowed);
    stop.abort();
    // Left alone a connection gives up by itself after a while, with another error.
    await asked;
  }
});

test('an idle connection is kept alive on both sides', async (t) => {
  const server = await startPostgres({ settings: { wal_sender_timeout: '600ms' } }, t);
  const url = await server.createDatabase('shop');
  await server.sql('CREATE TABLE a (id int PRIMARY KEY)', [], 'shop');
  const tail = new Tail(await connected(sourceOn(url), t));
  const pidOf = async (): Promise<unknown> => (await server.sql('SELECT active_pid FROM pg_replication_slots'))[0];
  const pid = await pidOf();
  const begun = performance.now();
  await eventually(() => performance.now() - begun > 2500);
  assert.deepEqual(await pidOf(), pid);
  assert.equal(tail.error, null);
});

test('while nobody pulls, the queue is bounded in bytes and the connection stays alive', async (t) => {
  const server = await startPostgres({ settings: { wal_sender_timeout: '700ms' } }, t);
  const url = await server.createDatabase('shop');
  await server.sql('CREATE TABLE a (id int PRIMARY KEY, v text)', [], 'shop');
  const session = await connected(sourceOn(url, { maxQueueBytes: 1 << 20 }), t);
  const before = process.memoryUsage().rss;
  await server.sql("INSERT INTO a SELECT g, repeat('x', 10000) FROM generate_series(1, 20000) g", [], 'shop');
  const begun = performance.now();
  let largest = 0;
  await eventually(() => {
    largest = Math.max(largest, process.memoryUsage().rss - before);
    return performance.now() - begun > 3000;
  });
  assert.ok(largest < 60 << 20, `${largest >> 20} MiB for 200 MB of rows that wait`);
  // Four times the timeout has passed; the same walsender goes on.
  const tail = new Tail(session);
  await eventually(() => tail.commits().length === 1, { what: 'the whole transaction' });
  assert.equal(tail.items.filter((item) => item.op === 'c').length, 20_000);
  assert.equal(tail.error, null);
});

test('chunks of one to seven bytes change nothing', async (t) => {
  const server = await startPostgres({}, t);
  const url = await server.createDatabase('shop');
  await server.sql('CREATE TABLE a (id int PRIMARY KEY, v text)', [], 'shop');
  const proxy = await TcpProxy.start(server);
  t.after(() => proxy.close());
  const tail = new Tail(await connected(sourceOn(proxy.through(url)), t));
  proxy.randomChunks(7, 4);
  await server.sql("INSERT INTO a SELECT g, repeat('é', g) FROM generate_series(1, 100) g", [], 'shop');
  await eventually(() => tail.commits().length === 1);
  assert.deepEqual(tail.rows, Array.from({ length: 100 }, (_, i) => `c ${i} public.a: ${i + 1} ${'é'.repeat(i + 1)}`));
});

test('a reset in the middle of a message is source-unreachable, and half a message is never an item', async (t) => {
  const server = await startPostgres({}, t);
  const url = await server.createDatabase('shop');
  await server.sql('CREATE TABLE a (id int PRIMARY KEY, v text)', [], 'shop');
  const proxy = await TcpProxy.start(server);
  t.after(() => proxy.close());
  const tail = new Tail(await connected(sourceOn(proxy.through(url)), t));
  const before = proxy.forwarded.down;
  proxy.randomChunks(1000, 1);
  proxy.delay('down', 1);
  await server.sql("INSERT INTO a SELECT 1, string_agg(md5(g::text), '') FROM generate_series(1, 100000) g", [], 'shop');
  await eventually(() => proxy.forwarded.down > before + 1_000_000);
  proxy.reset();
  await tail.done;
  assert.equal((tail.error as { code?: string }).code, 'source-unreachable');
  assert.deepEqual(tail.rows, []);
});

test('a row of 100 MB arrives as it is', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY, v text)');
  const tail = new Tail(await connected(sourceOn(database.url), t));
  await database.sql("INSERT INTO a VALUES (1, repeat('0123456789', 10000000))");
  await eventually(() => tail.commits().length === 1, { timeoutMs: 60_000 });
  const row = tail.items.find((item) => item.op === 'c');
  assert.ok(row?.op === 'c' && row.end - row.newAt > 100_000_000);
  assert.equal(Buffer.from(row.bytes.buffer, row.bytes.byteOffset + row.end - 10, 10).toString(), '0123456789');
});

test('the server sends on what happens elsewhere, so that an idle slot can move', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE other (id int)');
  const source = sourceOn(database.url, { config: { tables: { include: ['public.a'] } } });
  const session = await connected(source, t);
  const tail = new Tail(session);
  const client = new pg.Client(database.url);
  await client.connect();
  await client.query('INSERT INTO other SELECT generate_series(1, 1000)');
  const { rows } = await client.query<{ at: string }>("SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text AS at");
  await client.end();
  const reached = BigInt(rows[0]?.at ?? 0);
  await eventually(() => tail.items.some((item) => (item.op === 'keepalive' && item.walEnd >= reached) || (item.op === 'commit' && item.endLsn >= reached)));
  assert.deepEqual(tail.rows, []);
});
