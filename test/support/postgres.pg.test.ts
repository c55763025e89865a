import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { freshDatabase, startPostgres } from './postgres.ts';

test("a server of one's own keeps its port and its data over stop, kill -9 and start", async (t) => {
  const server = await startPostgres({ settings: { fsync: 'on' } }, t);
  await server.sql('CREATE TABLE kept (n int)');
  for (const down of [() => server.stop('fast'), () => server.stop('immediate'), () => server.kill9()]) {
    await server.sql('INSERT INTO kept VALUES (1)');
    await down();
    assert.equal(server.pid, undefined);
    await assert.rejects(server.sql('SELECT 1'));
    await server.start();
  }
  assert.equal((await server.sql('SELECT n FROM kept')).length, 3);
  await server.remove();
  assert.equal(existsSync(server.socketDirectory), false);
});

test('settings override the defaults, and the defaults are those of a capture source', async (t) => {
  const server = await startPostgres({ settings: { max_wal_senders: '7' } }, t);
  const rows = await server.sql<{ setting: string }>(
    "SELECT setting FROM pg_settings WHERE name IN ('wal_level', 'max_wal_senders') ORDER BY name",
  );
  assert.deepEqual(
    rows.map((row) => row.setting),
    ['7', 'logical'],
  );
});

test('a fresh database is empty, and is dropped with its slots when its test ends', async (t) => {
  const names: string[] = [];
  await t.test('inner', async (inner) => {
    const database = await freshDatabase(inner);
    names.push(database.name);
    assert.deepEqual(await database.sql("SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace"), []);
    await database.sql("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [`${database.name}_slot`]);
  });
  const outer = await freshDatabase(t);
  assert.deepEqual(await outer.sql('SELECT 1 FROM pg_database WHERE datname = $1', [names[0]]), []);
});
