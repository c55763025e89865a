import assert from 'node:assert/strict';
import { kill } from 'node:process';
import { test } from 'node:test';
import pg from 'pg';
import type { TailraceError } from '../../../src/runtime/errors.ts';
import type { TableSchema } from '../../../src/event/table.ts';
import { createLogger } from '../../../src/runtime/logger.ts';
import type { TableOperation } from '../../../src/sink/sink.ts';
import { apply, changes, insert, positionAt, remove, tableOf, update } from '../../contract/sink-samples.ts';
import { openSession, sorted } from '../../contract/sink.ts';
import { startPostgres, type TestDatabase } from '../../support/postgres.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { eventually } from '../../support/wait.ts';
import { emptyDatabase, endSessions, rowsOf, sinkOf } from './harness.ts';

const table = tableOf({ columns: [['id', 'integer'], ['name', 'text']] });
const many = (from: number, count: number, of = table): TableOperation[] => Array.from({ length: count }, (_, i) => insert(of, [String(from + i), 'x'.repeat(200)]));

/** What a logger wrote. */
function heard(): { readonly lines: string[]; readonly logger: ReturnType<typeof createLogger> } {
  const lines: string[] = [];
  return { lines, logger: createLogger({ level: 'info', destination: { write: (line) => void lines.push(line) } }) };
}

test('a successor ends the session of a worker that holds the position and does not move, and says so', async (t) => {
  const database = await emptyDatabase();
  const frozen = await openSession(t, sinkOf(database));
  await apply(frozen, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
  await frozen.begin(positionAt(2));
  // So many are on their way: the position is held.
  await frozen.write(changes(table, many(10, 6000)));
  const { lines, logger } = heard();
  const successor = await openSession(t, sinkOf(database, { lockTimeoutMs: 200, logger }));
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /"pids":\[\d+\]/);
  assert.deepEqual(successor.position, positionAt(1));
  await apply(successor, positionAt(3), changes(table, [insert(table, ['2', 'b'])]));
  await assert.rejects(frozen.commit(), { code: 'sink-unreachable' });
  await frozen.abort();
  // It finds out, by the position, that the sink is another's.
  await assert.rejects(apply(frozen, positionAt(2), changes(table, [insert(table, ['3', 'zombie'])])), { code: 'fenced' });
  assert.deepEqual(sorted(await rowsOf(database, table)), sorted([['1', 'a'], ['2', 'b']]));
});

test('a worker of another sink, or somebody else, who holds the row is waited for and never ended', async (t) => {
  const database = await emptyDatabase();
  await (await openSession(t, sinkOf(database))).close();
  const other = new pg.Client(database.url);
  await other.connect();
  t.after(() => other.end());
  await other.query("BEGIN; UPDATE tailrace.position SET updated_at = now() WHERE sink = 'replica'");
  await assert.rejects(sinkOf(database, { lockTimeoutMs: 100 }).open({ signal: new AbortController().signal }), { code: 'sink-unreachable' });
  await other.query('COMMIT');
  await openSession(t, sinkOf(database, { lockTimeoutMs: 100 }));
});

test('two first workers that write at the same time: one waits for the other and is fenced', async (t) => {
  const database = await emptyDatabase();
  const [one, two] = await Promise.all([openSession(t, sinkOf(database)), openSession(t, sinkOf(database))]);
  const race = [one, two].map((session, i) => apply(session, positionAt(1), changes(table, [insert(table, [String(i), 'first'])])));
  const outcomes = await Promise.allSettled(race);
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  assert.equal(refused.length, 1);
  assert.equal((refused[0]?.reason as TailraceError | undefined)?.code, 'fenced');
  assert.equal((await rowsOf(database, table)).length, 1);
});

test('a lock that is not given in time is tried again later, and says nothing wrong of the rows', async (t) => {
  const database = await emptyDatabase();
  const session = await openSession(t, sinkOf(database, { lockTimeoutMs: 100 }));
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
  const other = new pg.Client(database.url);
  await other.connect();
  t.after(() => other.end());
  await other.query('BEGIN; LOCK TABLE people');
  for (const list of [[insert(table, ['2', 'b'])], many(2, 100)]) {
    await assert.rejects(apply(session, positionAt(2), changes(table, list)), { code: 'sink-unreachable' });
    await session.abort();
  }
  await other.query('COMMIT');
  await apply(session, positionAt(2), changes(table, [insert(table, ['2', 'b'])]));
});

test('a deadlock with somebody else is tried again, with nothing half applied', async (t) => {
  const database = await emptyDatabase();
  const session = await openSession(t, sinkOf(database, { lockTimeoutMs: 20_000 }));
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a']), insert(table, ['2', 'b'])]));
  const other = new pg.Client(database.url);
  await other.connect();
  t.after(() => other.end());
  // The other side looks for deadlocks rarely, so that ours is the one that is found.
  await other.query("SET deadlock_timeout = '60s'; BEGIN; UPDATE people SET name = 'theirs' WHERE id = 2");
  await session.begin(positionAt(2));
  await session.write(changes(table, [update(table, ['1', 'ours'])]));
  await session.block([]);
  const theirs = other.query("UPDATE people SET name = 'theirs' WHERE id = 1");
  await eventually(async () => (await database.sql("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE people%'")).length === 1);
  await session.write(changes(table, [update(table, ['2', 'ours'])]));
  await assert.rejects(session.commit(), { code: 'sink-unreachable' });
  await session.abort();
  await theirs;
  await other.query('COMMIT');
  assert.deepEqual(sorted(await rowsOf(database, table)), sorted([['1', 'theirs'], ['2', 'theirs']]));
  await apply(session, positionAt(2), changes(table, [update(table, ['1', 'ours']), update(table, ['2', 'ours'])]));
});

test('the kill -9 of the backend inside a COPY leaves nothing of its transaction', async (t) => {
  const server = await startPostgres({ settings: { fsync: 'on' } }, t);
  const url = await server.createDatabase('replica');
  const database: TestDatabase = { name: 'replica', url, sql: (text, params) => server.sql(text, params, 'replica') };
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
  const [backend] = await database.sql<{ pid: number }>("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'tailrace/%'");
  await session.begin(positionAt(2));
  await session.write(changes(table, many(10, 5000)));
  const copy = session.write(changes(table, many(10_000, 40_000)));
  kill(backend?.pid as number, 'SIGKILL');
  await assert.rejects(copy.then(() => session.commit()), { code: 'sink-unreachable' });
  await session.abort();
  // A backend that dies so takes the others along: the server recovers first.
  const next = await eventually(() => sinkOf(database).open({ signal: new AbortController().signal }), { what: 'the replica' });
  t.after(() => next.close());
  assert.deepEqual(next.position, positionAt(1));
  assert.equal((await rowsOf(database, table)).length, 1);
  await apply(next, positionAt(2), changes(table, many(10, 5000)));
  assert.equal((await rowsOf(database, table)).length, 5001);
});

test('batches that are sent together stand each for itself when one is refused, and a row that is missing in one is named', async (t) => {
  const database = await emptyDatabase();
  const session = await openSession(t, sinkOf(database));
  const of = (name: string): TableSchema => tableOf({ name, columns: [['id', 'integer'], ['name', 'text']] });
  const [one, two, three] = [of('one'), of('two'), of('three')];
  const rows = (shape: TableSchema, from: number, make = insert): TableOperation[] => Array.from({ length: 60 }, (_, i) => make(shape, [String(from + i), 'new']));
  await apply(session, positionAt(1), changes(one, [insert(one, ['0', 'old'])]), changes(two, rows(two, 0)), changes(three, rows(three, 0)));
  // The second one meets a row that is there, and takes neither of the others along; the staging tables of all are made in this transaction.
  const mixed = (shape: TableSchema): TableOperation[] => [...rows(shape, 0, update), ...rows(shape, 100)];
  await apply(session, positionAt(2), changes(one, mixed(one)), changes(two, [insert(two, ['5', 'again']), ...mixed(two).slice(60)]), changes(three, [...mixed(three), insert(three, ['7', 'again'])]), changes(one, rows(one, 200)));
  const names = async (shape: TableSchema, id: string): Promise<unknown> => (await rowsOf(database, shape)).find(([key]) => key === id)?.[1];
  assert.deepEqual(await Promise.all([one, two, three].map(async (shape) => (await rowsOf(database, shape)).length)), [180, 120, 120]);
  assert.deepEqual([await names(two, '5'), await names(three, '7'), await names(one, '0'), await names(one, '259')], ['again', 'again', 'new', 'new']);
  await session.begin(positionAt(3));
  const lacking = [...rows(three, 0, (shape, [id]) => update(shape, [id ?? '', undefined])), update(three, ['999', undefined])];
  await assert.rejects((async () => {
    await session.write(changes(one, rows(one, 300)));
    await session.write(changes(three, lacking));
    await session.commit();
  })(), { code: 'sink-data', message: /three.*\(999\)/ });
  await session.abort();
  assert.equal((await rowsOf(database, one)).length, 180);
});

test('rows for one table that come in several writes go into it by one COPY, and each write stands for itself when one is refused', async (t) => {
  const database = await emptyDatabase();
  await database.sql(`CREATE TABLE people (id int PRIMARY KEY, name text); CREATE TABLE statements (n int);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.statements VALUES (1); RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT ON people EXECUTE FUNCTION note(); ALTER TABLE people ENABLE ALWAYS TRIGGER note`);
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, many(0, 500)), changes(table, many(500, 3000)), changes(table, many(3500, 500)));
  assert.deepEqual(await database.sql('SELECT count(*)::int AS n FROM statements'), [{ n: 1 }]);
  // Another table, and what is staged, end it.
  const other = tableOf({ name: 'other', columns: [['id', 'integer'], ['name', 'text']] });
  const updates = Array.from({ length: 60 }, (_, i) => update(table, [String(i), 'new']));
  await apply(session, positionAt(2), changes(table, many(4000, 100)), changes(other, many(0, 100, other)), changes(table, many(4100, 100)), changes(table, [...updates, ...many(4200, 100)]), changes(table, many(4300, 100)));
  await apply(session, positionAt(3), changes(table, many(4400, 100)), changes(table, [...many(4500, 100), insert(table, ['7', 'again'])]), changes(table, many(4600, 3000)));
  const found = await rowsOf(database, table);
  assert.equal(found.length, 7600);
  assert.deepEqual(found.filter(([, name]) => name === 'new' || name === 'again').length, 60);
  assert.equal((await rowsOf(database, other)).length, 100);
});

test('rows that are sent with their COMMIT and refused go in another way, and are committed behind that', async (t) => {
  const database = await emptyDatabase();
  await database.sql("CREATE TABLE people (id int PRIMARY KEY, name text CHECK (name <> 'poison'))");
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, [insert(table, ['7', 'old'])]));
  await apply(session, positionAt(2), changes(table, many(1, 60)));
  assert.equal((await rowsOf(database, table)).length, 60);
  await assert.rejects(apply(session, positionAt(3), changes(table, [...many(100, 60), insert(table, ['1000', 'poison'])])), { code: 'sink-data', message: /\(1000\)/ });
  await session.abort();
  assert.deepEqual([session.position, (await rowsOf(database, table)).length], [positionAt(2), 60]);
  await apply(session, positionAt(3), changes(table, many(100, 60)));
  assert.equal((await rowsOf(database, table)).length, 120);
});

test('a session that was ended by the server connects again and goes on where it stood', async (t) => {
  const database = await emptyDatabase();
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
  await endSessions(database);
  await assert.rejects(apply(session, positionAt(2), changes(table, [insert(table, ['2', 'b'])])), { code: 'sink-unreachable' }).catch((error: unknown) => {
    // The end may have been heard already: then the session has connected anew.
    assert.equal((error as { code: string }).code, 'ERR_ASSERTION');
  });
  await session.abort();
  await apply(session, positionAt(3), changes(table, [insert(table, ['3', 'c'])]));
  assert.deepEqual(session.position, positionAt(3));
});

test('a statement that the server never saw, because one before it failed, is prepared when it is needed again', async (t) => {
  const database = await emptyDatabase();
  await database.sql("CREATE TABLE people (id int PRIMARY KEY, name text CHECK (name <> 'poison'))");
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a']), insert(table, ['2', 'b'])]));
  for (const _ of [1, 2]) {
    await assert.rejects(apply(session, positionAt(2), changes(table, [insert(table, ['3', 'poison']), remove(table, ['1', ''])])), { code: 'sink-data' });
    await session.abort();
  }
  // One that is bound and never sent is not known either.
  await session.begin(positionAt(2));
  await session.write(changes(table, [update(table, ['1', undefined])]));
  await session.abort();
  await apply(session, positionAt(2), changes(table, [remove(table, ['1', '']), update(table, ['2', undefined])]));
  assert.deepEqual(await rowsOf(database, table), [['2', 'b']]);
});

test('rows that a damaged change interrupts on their way are taken back with their connection', async (t) => {
  const database = await emptyDatabase();
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
  const damaged = { ...(insert(table, ['9', 'z']) as { bytes: Uint8Array; newAt: number }) };
  const bytes = Uint8Array.from(damaged.bytes);
  bytes[damaged.newAt + 3] = 0x7f;
  await session.begin(positionAt(2));
  await assert.rejects(session.write(changes(table, [...many(10, 5000), { ...damaged, bytes } as unknown as TableOperation, ...many(6000, 10)])), RangeError);
  await session.abort();
  await apply(session, positionAt(2), changes(table, [insert(table, ['2', 'b'])]));
  assert.deepEqual(sorted(await rowsOf(database, table)), sorted([['1', 'a'], ['2', 'b']]));
});

test('a replica that is away, a wrong password and a database that is not there are told apart', async (t) => {
  const database = await emptyDatabase();
  const wrong = (change: (url: URL) => void): string => {
    const url = new URL(database.url);
    change(url);
    return url.href;
  };
  const proxy = await TcpProxy.before(database.url);
  t.after(() => proxy.close());
  proxy.refuse();
  const cases = [
    { url: proxy.through(database.url), code: 'sink-unreachable' },
    { url: wrong((url) => (url.pathname = '/nowhere')), code: 'sink-refused' },
    { url: wrong((url) => (url.username = 'nobody_here')), code: 'sink-refused' },
  ];
  for (const { url, code } of cases) {
    const sink = sinkOf(database, { url });
    await assert.rejects(sink.open({ signal: new AbortController().signal }), { code });
    assert.deepEqual((await sink.check([])).map((finding) => finding.check), [code]);
  }
});

test('an open that is given up ends at once', async () => {
  const database = await emptyDatabase();
  const proxy = await TcpProxy.before(database.url);
  try {
    proxy.blackhole('down');
    const abort = new AbortController();
    const opening = sinkOf(database, { url: proxy.through(database.url) }).open({ signal: abort.signal });
    await eventually(() => proxy.forwarded.up > 0);
    abort.abort();
    await assert.rejects(opening, { name: 'AbortError' });
  } finally {
    await proxy.close();
  }
});

test('a replica whose answers never come is given up, and one that is only slow is waited for', async (t) => {
  const database = await emptyDatabase();
  const proxy = await TcpProxy.before(database.url);
  t.after(() => proxy.close());
  const session = await openSession(t, sinkOf(database, { url: proxy.through(database.url), stallMs: 50, lockTimeoutMs: 60_000 }));
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
  const other = new pg.Client(database.url);
  await other.connect();
  t.after(() => other.end());
  await other.query('BEGIN; LOCK TABLE people');
  const slow = apply(session, positionAt(2), changes(table, [insert(table, ['2', 'b'])]));
  const before = proxy.connections;
  await eventually(() => proxy.connections > before + 3, { what: 'several looks at the waiting session' });
  await other.query('COMMIT');
  await slow;
  await eventually(async () => (await database.sql("SELECT FROM pg_stat_activity WHERE application_name = 'tailrace/probe'")).length === 0);
  await session.begin(positionAt(3));
  await session.write(changes(table, many(10, 100)));
  proxy.blackhole('both');
  proxy.refuse();
  await assert.rejects(session.commit(), { code: 'sink-unreachable' });
  assert.ok(proxy.swallowed.up > 0);
  proxy.blackhole('both', false);
  proxy.refuse(false);
  await session.abort();
  assert.equal(await session.begin(positionAt(3)), 'open');
  await session.abort();
  // Nor does a goodbye wait for an answer.
  proxy.blackhole('both');
  await session.close();
});

test('whatever the network cuts a stream into, the rows arrive whole', async (t) => {
  const database = await emptyDatabase();
  const proxy = await TcpProxy.before(database.url);
  t.after(() => proxy.close());
  proxy.randomChunks(1400, 3);
  const session = await openSession(t, sinkOf(database, { url: proxy.through(database.url) }));
  await apply(session, positionAt(1), changes(table, many(1, 3000)), changes(table, [update(table, ['1', 'last'])]));
  const rows = await database.sql("SELECT count(*)::int AS n, sum(length(name))::int AS size FROM people");
  assert.deepEqual(rows, [{ n: 3000, size: 2999 * 200 + 4 }]);
});

test('a commit is on disk at the replica even where its default is not to wait', async (t) => {
  const database = await emptyDatabase();
  await database.sql(`ALTER DATABASE ${database.name} SET synchronous_commit = off`);
  t.after(() => database.sql(`ALTER DATABASE ${database.name} RESET synchronous_commit`));
  await database.sql('CREATE TABLE people (id int PRIMARY KEY, name text); CREATE TABLE seen (setting text)');
  await database.sql(`CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
    CREATE TRIGGER look AFTER INSERT ON people FOR EACH STATEMENT EXECUTE FUNCTION look(); ALTER TABLE people ENABLE ALWAYS TRIGGER look`);
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
  assert.deepEqual(await database.sql('SELECT setting FROM seen'), [{ setting: 'on' }]);
});
