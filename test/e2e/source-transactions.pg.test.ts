import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { freshDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { ledgerSetting, nameFor } from '../support/shop.ts';
import { logRecords } from '../support/transaction-oracle.ts';
import { eventually } from '../support/wait.ts';
import { tailrace } from '../support/daemon.ts';

test('T6, T7: a server that loses commits in a crash, and one whose commits wait for standbys', async (t) => {
  const server = await startPostgres({ settings: { fsync: 'on', wal_writer_delay: '10s', track_commit_timestamp: 'on' } }, t);
  const url = await server.createDatabase('crashing');
  const source: TestDatabase = { name: 'crashing', url, sql: (text, params) => server.sql(text, params, 'crashing') };
  const setting = await ledgerSetting(t, { source, schema: 'CREATE TABLE t (id int PRIMARY KEY)' });
  const { daemon } = setting;
  daemon.start();
  await daemon.streaming();

  await t.test('T6: commits that synchronous_commit = off lost in a crash of the server were never in the log', async () => {
    let lost = 0;
    for (let round = 1; round <= 5 && lost === 0; round++) {
      await source.sql(`INSERT INTO t VALUES (${round * 1000})`);
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => undefined);
      await client.connect();
      await client.query('SET synchronous_commit = off');
      for (let i = 1; i <= 200; i++) await client.query(`INSERT INTO t VALUES (${round * 1000 + i})`);
      await server.kill9();
      await server.start();
      const [left] = await eventually(() => source.sql<{ n: number }>(`SELECT count(*)::int AS n FROM t WHERE id > ${round * 1000} AND id < ${round * 1000 + 1000}`));
      lost += 200 - (left?.n ?? 0);
    }
    await source.sql('INSERT INTO t VALUES (1)');
    await setting.equal(['t']);
    const kept = await source.sql<{ id: number }>('SELECT id FROM t');
    const logged = (await logRecords(daemon.file, `${nameFor(source)}.public.t`)).map(({ after }) => Number(after?.['id']));
    assert.deepEqual(logged.toSorted((a, b) => a - b), kept.map(({ id }) => id).toSorted((a, b) => a - b));
    assert.ok(lost > 0, 'the crash lost commits');
  });

  await t.test('T7: where synchronous_standby_names would make commits wait for Tailrace, check and run refuse it; set while it runs, they come back all the same', async () => {
    const standbys = (names: string): Promise<unknown> => source.sql(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`).then(() => source.sql('SELECT pg_reload_conf()'));
    await standbys('*');
    await eventually(async () => (await source.sql<{ s: string }>('SHOW synchronous_standby_names')).length === 1);
    await source.sql('INSERT INTO t VALUES (2)');
    await setting.equal(['t']);
    await daemon.stop();
    const { code, out, err } = await tailrace(['check', daemon.file]);
    assert.equal(code, 3);
    assert.match(out + err, /synchronous_standby_names \(\*\) matches/);
    daemon.start();
    await eventually(async () => (await daemon.status()).error?.message.includes('commits would wait for it'));
    await standbys('');
    await daemon.kill();
    daemon.start();
    await daemon.streaming();
    await source.sql('INSERT INTO t VALUES (3)');
    await setting.equal(['t']);
  });
});

test('R20: origin none leaves out what came by replication, origin any takes it like everything else', async (t) => {
  const source = await freshDatabase(t);
  const [none, any] = [await ledgerSetting(t, { source, schema: 'CREATE TABLE t (id int PRIMARY KEY, v text)', inSource: '  origin: none\n' }), await ledgerSetting(t, { source, schema: 'SELECT', prefix: 'any' })];
  for (const { daemon } of [none, any]) {
    daemon.start();
    await daemon.streaming();
  }
  const origin = `o_${source.name}`;
  await source.sql(`SELECT pg_replication_origin_create('${origin}')`);
  await source.sql(`SELECT pg_replication_origin_session_setup('${origin}'); INSERT INTO t VALUES (1, 'replicated')`);
  await source.sql(`SET session_replication_role = replica; INSERT INTO t VALUES (2, 'a role alone is no origin')`);
  await source.sql(`INSERT INTO t VALUES (3, 'written here'); UPDATE t SET v = v || '!' WHERE id = 2`);
  await any.equal(['t']);
  await eventually(async () => (await none.replica.sql('SELECT FROM t WHERE id = 3')).length === 1);
  assert.deepEqual(await none.replica.sql('SELECT id FROM t ORDER BY id'), [{ id: 2 }, { id: 3 }]);
  await source.sql(`SELECT pg_replication_origin_drop('${origin}')`);
});
