import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionTarget } from '../../../src/runtime/postgres/connection-target.ts';
import { PgConnection } from '../../../src/runtime/postgres/connection.ts';
import { sqlstateOf } from '../../../src/runtime/postgres/sqlstate.ts';
import { Secret } from '../../../src/runtime/secret.ts';
import { freshDatabase } from '../../support/postgres.ts';

const keys = { sslmode: undefined, sslrootcert: undefined, sslcert: undefined, sslkey: undefined };
const kept = 'SELECT name FROM pg_catalog.pg_prepared_statements';

test('a session that prepares keeps a statement with parameters, the first of them, and answers by what is there now', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE k (id int); INSERT INTO k VALUES (1)');
  const target = connectionTarget({ url: new Secret(database.url), ...keys });
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
  const session = await PgConnection.open(connectionTarget({ url: new Secret(database.url), ...keys }), { applicationName: 'tailrace/test' });
  t.after(() => session.close());
  await session.query('SELECT $1', ['a']);
  assert.deepEqual(await session.query(kept), []);
});
