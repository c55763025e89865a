import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PgConnection } from '../../../src/runtime/postgres/connection.ts';
import { failureKind, sqlstateOf } from '../../../src/runtime/postgres/sqlstate.ts';
import { freshDatabase, targetOf } from '../../support/postgres.ts';
import { stoppingServer } from '../../support/stopping-server.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { eventually } from '../../support/wait.ts';

const kept = 'SELECT name FROM pg_catalog.pg_prepared_statements';

test('a session that prepares keeps a statement with parameters, the first of them, and answers by what is there now', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE k (id int); INSERT INTO k VALUES (1)');
  const target = targetOf(database.url);
  const session = await PgConnection.open(target, { applicationName: 'tailrace/test', prepares: true });
  t.after(() => session.close());
  const text = 'SELECT id + $1::int8 AS sum FROM public.k';
  for (let i = 0; i < 20; i++) assert.deepEqual(await session.query(text, [i]), [{ sum: String(i + 1) }]);
  assert.equal((await session.query(kept)).length, 1);
  await database.sql('DROP TABLE k');
  await assert.rejects(session.query(text, [1]), (error) => sqlstateOf(error) === '42P01');
  await database.sql('CREATE TABLE k (x text, id int8); INSERT INTO k VALUES (NULL, 2)');
  assert.deepEqual(await session.query(text, [1]), [{ sum: '3' }]);
  for (let i = 0; i < 40; i++) assert.deepEqual(await session.query(`SELECT ${i} AS i WHERE $1`, [true]), [{ i }]);
  assert.equal((await session.query(kept)).length, 16);
});

test('any other session keeps none', async (t) => {
  const database = await freshDatabase(t);
  const session = await PgConnection.open(targetOf(database.url), { applicationName: 'tailrace/test' });
  t.after(() => session.close());
  await session.query('SELECT $1', ['a']);
  assert.deepEqual(await session.query(kept), []);
});

const isUnreachable = (error: unknown): boolean => failureKind(error) === 'unreachable';

test('a server that stops in the same breath as it lets us in is unreachable', async (t) => {
  const target = targetOf(await stoppingServer(t));
  await assert.rejects(PgConnection.open(target, { applicationName: 'tailrace/test' }), isUnreachable);
});

test('a session that ends without a word, while it is asked or before, is unreachable, and so is what is asked then', async (t) => {
  const database = await freshDatabase(t);
  const proxy = await TcpProxy.before(database.url);
  t.after(() => proxy.close());
  const lost: unknown[] = [];
  const session = await PgConnection.open(targetOf(proxy.through(database.url)), { applicationName: 'tailrace/test', onLost: (error) => lost.push(error) });
  t.after(() => session.close());
  const asked = session.result({ text: 'SELECT pg_sleep(3600)' });
  await eventually(async () => (await database.sql("SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", [session.pid])).length === 1);
  proxy.end();
  await assert.rejects(asked, isUnreachable);
  await assert.rejects(session.query('SELECT 1'), isUnreachable);
  assert.deepEqual(lost.map(failureKind), ['unreachable']);
});
