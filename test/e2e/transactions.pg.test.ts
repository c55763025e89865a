import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import pg from 'pg';
import type { TestDatabase } from '../support/postgres.ts';
import { ledgerSetting, nameFor, sqliteSum } from '../support/shop.ts';
import { DecodingOracle, LogTransactions, logRecords } from '../support/transaction-oracle.ts';
import { eventually } from '../support/wait.ts';
import { Ledger, ledgerSchema, seeded } from '../support/workload.ts';

/** Tables that are copied one after the other while they are written: each is a race of a copy against the stream (T10). */
const races = 100;
const raceTables = Array.from({ length: races }, (_, i) => `race${i}`);
const schema = `${ledgerSchema}
  CREATE TABLE t (id int PRIMARY KEY, v text);
  CREATE SCHEMA hidden; CREATE TABLE hidden.elsewhere (id int PRIMARY KEY);
  CREATE TABLE register (w int PRIMARY KEY, n int NOT NULL); INSERT INTO register SELECT w, 0 FROM generate_series(1, 4) w;
  ${raceTables.map((name) => `CREATE TABLE ${name} (id int PRIMARY KEY, n int NOT NULL); INSERT INTO ${name} SELECT i, 0 FROM generate_series(1, 20) i`).join('; ')};`;

async function session(t: TestContext, database: TestDatabase): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => undefined);
  await client.connect();
  t.after(() => client.end());
  return client;
}

/** A serializable transaction may be refused for what others do at the same time: the next one follows. */
async function refused(client: pg.Client, error: unknown): Promise<void> {
  if (!(error instanceof pg.DatabaseError) || error.code !== '40001') throw error;
  await client.query('ROLLBACK');
}

/** The other slot also brings what nobody asked for. */
const wanted = (line: string): boolean => line.startsWith('table public.') || /^message: transactional: 1 prefix: (outbox|audit\.)/.test(line);

test('transactions, against what test_decoding says of them', async (t) => {
  const setting = await ledgerSetting(t, { schema, inSource: '  messages: [outbox, audit.*]\n' });
  const { source, replica, daemon, sqlite } = setting;
  const pipeline = nameFor(source);
  const log = new LogTransactions(daemon.file, pipeline);

  await t.test('T8: the sum of the accounts is the same at every moment in every replica, whatever is transferred', async () => {
    const ledger = new Ledger(source.url, 11, 3);
    const racing = race(source);
    daemon.start();
    await daemon.streaming();
    await eventually(async () => (await replica.sql<{ n: number }>('SELECT count(*)::int AS n FROM acct').catch(() => []))[0]?.n === 50, { what: 'the accounts' });
    const sums = new Set<number>();
    const reader = await session(t, replica);
    for (let looks = 0; looks < 100 || ledger.committed < 200; looks++) {
      sums.add(sqliteSum(sqlite));
      const { rows } = await reader.query<{ total: number }>('SELECT sum(bal)::int AS total FROM acct');
      sums.add(rows[0]?.total ?? -1);
    }
    await ledger.stop();
    assert.deepEqual([...sums], [50_000]);
    assert.ok((await racing.stop()) > 100, 'the tables were written while they were copied');
    await setting.equal();
  });

  await t.test('T10: of two states that a reader of a replica sees, one holds all of the other; and a copy beside four serializable writers lacks nothing', async () => {
    await setting.equal(raceTables);
    const writers = await Promise.all([1, 2, 3, 4].map(() => session(t, source)));
    const until = new AbortController();
    const work = Promise.all(writers.map(async (client, i) => {
      for (let n = 1; !until.signal.aborted; n++) await client.query(`BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE register SET n = ${n} WHERE w = ${i + 1}; COMMIT`).catch((error: unknown) => refused(client, error));
    }));
    const states: number[][] = [];
    const reader = await session(t, replica);
    while (states.length < 2000 && new Set(states.map(String)).size < 40) {
      const { rows } = await reader.query<{ n: number }>('SELECT n FROM register ORDER BY w');
      states.push(rows.map(({ n }) => n));
    }
    until.abort();
    await work;
    assert.ok(new Set(states.map(String)).size >= 40, 'the replica moved while it was read');
    for (const [i, state] of states.entries()) {
      for (const other of states.slice(0, i)) {
        const [less, more] = [state.some((n, w) => n < (other[w] ?? 0)), state.some((n, w) => n > (other[w] ?? 0))];
        assert.ok(!(less && more), `${String(state)} and ${String(other)}: neither holds all of the other`);
      }
    }
    await setting.equal(['register']);
  });

  const oracle = await DecodingOracle.create(source);
  await log.next();
  /** What was committed since the last time, by both accounts. */
  const next = async (): Promise<string[][]> => {
    const expected = await oracle.transactions(wanted);
    const found: string[][] = [];
    await eventually(async () => found.push(...(await oracle.words(await log.next()))) >= expected.length, { what: `${expected.length} transactions in the log` });
    assert.deepEqual(found, expected);
    return found;
  };

  await t.test('T1: what is prepared comes when it is committed, also by another life of the daemon, and not at all when it is rolled back', async () => {
    await source.sql(`BEGIN; INSERT INTO t VALUES (1, 'prepared'); PREPARE TRANSACTION '${source.name} kept'`);
    await source.sql(`BEGIN; INSERT INTO t VALUES (2, 'prepared'); PREPARE TRANSACTION '${source.name} gone'`);
    await source.sql(`INSERT INTO t VALUES (3, 'before')`);
    await eventually(async () => (await replica.sql('SELECT FROM t WHERE id = 3')).length === 1);
    await daemon.kill();
    await source.sql(`COMMIT PREPARED '${source.name} kept'`);
    await source.sql(`ROLLBACK PREPARED '${source.name} gone'`);
    daemon.start();
    await daemon.streaming();
    assert.deepEqual(await next(), [["table public.t: INSERT: id[integer]:3 v[text]:'before'"], ["table public.t: INSERT: id[integer]:1 v[text]:'prepared'"]]);
    await setting.equal(['t']);
  });

  await t.test('T2: of 64 subtransactions inside each other what was rolled back is not there, and the rest is one transaction', async () => {
    const client = await session(t, source);
    await client.query('BEGIN');
    for (let depth = 1; depth <= 64; depth++) {
      await client.query(`SAVEPOINT s${depth}; INSERT INTO t VALUES (${100 + depth}, 'depth ${depth}')`);
      await client.query(`SAVEPOINT x; UPDATE t SET v = 'gone' WHERE id > 100; INSERT INTO t VALUES (200, 'gone'); ROLLBACK TO x; RELEASE x`);
    }
    await client.query(`ROLLBACK TO s60; INSERT INTO t VALUES (300, 'in its place'); COMMIT`);
    assert.deepEqual((await next()).map((lines) => lines.length), [60]);
    await setting.equal(['t']);
  });

  await t.test('T3: fifty sessions interleaved stand in the log in the order of their commits, whoever began first', async () => {
    const random = seeded(3);
    const clients = await Promise.all(Array.from({ length: 50 }, () => session(t, source)));
    for (const client of clients) await client.query('BEGIN');
    for (let round = 0; round < 3; round++) {
      for (const [i, client] of clients.entries()) await client.query(`INSERT INTO t VALUES (${1000 + i * 10 + round}, 'session ${i}')`);
    }
    for (const i of clients.map((_, at) => at).toSorted(() => random() - 0.5)) await clients[i]?.query(i % 10 === 0 ? 'ROLLBACK' : 'COMMIT');
    const found = await next();
    assert.deepEqual(found.map((lines) => lines.length), Array.from({ length: 45 }, () => 3));
    assert.notDeepEqual(found, found.toSorted((a, b) => (String(a) < String(b) ? -1 : 1)), 'commits were in another order than the sessions');
    await setting.equal(['t']);
  });

  await t.test('T4: empty and reading transactions, and those of tables that are not captured, leave nothing, and the slot moves on all the same', async () => {
    const slot = async (): Promise<string> => (await source.sql<{ at: string }>(`SELECT confirmed_flush_lsn::text AS at FROM pg_replication_slots WHERE slot_name = 'tailrace_${pipeline}'`))[0]?.at ?? '';
    const before = await slot();
    await source.sql('BEGIN; COMMIT');
    await source.sql('BEGIN; SELECT * FROM t; COMMIT');
    await source.sql('INSERT INTO hidden.elsewhere VALUES (1)');
    await source.sql('BEGIN; INSERT INTO t VALUES (9999, NULL); ROLLBACK');
    const end = (await source.sql<{ at: string }>('SELECT pg_current_wal_lsn()::text AS at'))[0]?.at ?? '';
    await eventually(async () => (await source.sql<{ past: boolean }>('SELECT $1::pg_lsn >= $2::pg_lsn AS past', [await slot(), end]))[0]?.past, { what: 'the slot to pass them' });
    assert.notEqual(await slot(), before);
    assert.deepEqual(await next(), []);
  });

  await t.test('T5: messages whose prefix is asked for come inside their transaction, counted and in order; others, rolled back and non-transactional ones do not', async () => {
    await source.sql(`BEGIN; SELECT pg_logical_emit_message(true, 'outbox', '{"order": 1}'); INSERT INTO t VALUES (5000, 'with its message');
      SELECT pg_logical_emit_message(true, 'other', 'unwanted'); SELECT pg_logical_emit_message(true, 'audit.login', 'Ünïcode'); COMMIT`);
    await source.sql(`SELECT pg_logical_emit_message(true, 'outbox', 'alone')`);
    await source.sql(`BEGIN; SELECT pg_logical_emit_message(true, 'outbox', 'rolled back'); SELECT pg_logical_emit_message(false, 'outbox', 'not of it'); ROLLBACK`);
    await source.sql(`SELECT pg_logical_emit_message(false, 'outbox', 'not transactional')`);
    await source.sql(`SELECT pg_logical_emit_message(true, 'audit.bytes', '\\xff00fe'::bytea)`);
    const records = await eventually(async () => {
      const all = await logRecords(daemon.file, `${pipeline}.message`);
      return all.length >= 4 ? all : null;
    });
    assert.deepEqual(records.map(({ op, ordinal, prefix, content }) => [op, ordinal, prefix, content]), [
      ['m', 0, 'outbox', '{"order": 1}'], ['m', 3, 'audit.login', 'Ünïcode'], ['m', 0, 'outbox', 'alone'], ['m', 0, 'audit.bytes', { base64: '/wD+' }],
    ]);
    await source.sql(`INSERT INTO t VALUES (5001, 'after')`);
    await setting.equal(['t']);
    // test_decoding writes bytes that are no text as they are; that one is compared above.
    const isText = (lines: readonly string[]): boolean => !lines.some((line) => line.includes('audit.bytes'));
    const found = (await oracle.words(await log.next())).filter(isText);
    assert.deepEqual(found, (await oracle.transactions(wanted)).filter(isText));
    assert.deepEqual(found.map((lines) => lines.length), [3, 1, 1]);
    await eventually(async () => (await daemon.status()).sinks.every(({ behindTransactions }) => behindTransactions === 0), { what: 'both sinks to pass the messages over' });
  });
});

/** Writes all race tables, some by serializable transactions, until it is stopped; how many transactions it did meanwhile. */
function race(source: TestDatabase): { stop(): Promise<number> } {
  const until = new AbortController();
  let done = 0;
  const work = [1, 2, 3, 4].map(async (w) => {
    const client = new pg.Client({ connectionString: source.url });
    await client.connect();
    const random = seeded(w);
    while (!until.signal.aborted) {
      const table = raceTables[Math.floor(random() * races)];
      const id = 1 + Math.floor(random() * 25);
      const change = random() < 0.2 ? `DELETE FROM ${table} WHERE id = ${id}` : `INSERT INTO ${table} VALUES (${id}, ${w}) ON CONFLICT (id) DO UPDATE SET n = ${table}.n + 1`;
      await client.query(`BEGIN ISOLATION LEVEL ${w % 2 === 0 ? 'SERIALIZABLE' : 'READ COMMITTED'}; ${change}; COMMIT`).then(
        () => done++,
        // 40001 is what serializable transactions are for, 40P01 what happens.
        (error: { code?: string }) => (error.code === '40001' || error.code === '40P01' ? client.query('ROLLBACK') : Promise.reject(error as Error)),
      );
    }
    await client.end();
  });
  return {
    async stop() {
      until.abort();
      await Promise.all(work);
      return done;
    },
  };
}
