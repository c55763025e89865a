import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import { dumpSqlite } from '../support/replicas.ts';
import { ledgerSetting, type Setting } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';

const schema = `
  CREATE TABLE grown (id int PRIMARY KEY, v text); INSERT INTO grown SELECT n, 'v' FROM generate_series(1, 20) n;
  CREATE TABLE rewritten (id int PRIMARY KEY, v text); INSERT INTO rewritten SELECT n, 'v' FROM generate_series(1, 20) n;
  CREATE TABLE swapped (id int PRIMARY KEY, v text); INSERT INTO swapped SELECT n, 'v' FROM generate_series(1, 20) n;
  CREATE TABLE remade (id int PRIMARY KEY, v text); INSERT INTO remade SELECT n, 'v' FROM generate_series(1, 20) n;
  CREATE TABLE emptied (id int PRIMARY KEY, v text); INSERT INTO emptied SELECT n, 'v' FROM generate_series(1, 20) n;
  CREATE TABLE doomed (n int, v text); ALTER TABLE doomed REPLICA IDENTITY FULL; INSERT INTO doomed VALUES (1, 'a'), (2, 'b');
  CREATE TABLE moving (n int, v text); ALTER TABLE moving REPLICA IDENTITY FULL; INSERT INTO moving VALUES (1, 'a'), (2, 'b')`;

/** Keeps both sinks from writing until it is called. */
async function heldReplicas({ replica, sqlite }: Setting): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: replica.url });
  await client.connect();
  await client.query('BEGIN; LOCK TABLE swapped IN ACCESS EXCLUSIVE MODE');
  const file = new DatabaseSync(sqlite, { timeout: 5000 });
  file.exec('BEGIN IMMEDIATE');
  return async () => {
    file.exec('ROLLBACK');
    file.close();
    await client.query('COMMIT');
    await client.end();
  };
}

function sqliteKey(path: string, table: string): readonly unknown[] {
  const file = new DatabaseSync(path, { readOnly: true });
  const key = file.prepare('SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk').all(table);
  file.close();
  return key.map(({ name }) => name);
}

/** What native subscriptions pass over in silence: none of it is followed by a row of the table. */
const changes: readonly (readonly [rule: string, table: string, sql: string])[] = [
  ['D1: a column with a constant default arrives for the rows that stand, without another row', 'grown', `ALTER TABLE grown ADD COLUMN level int NOT NULL DEFAULT 7`],
  ['D1: a column with a volatile default arrives for the rows that stand', 'rewritten', `ALTER TABLE rewritten ADD COLUMN token text DEFAULT md5(random()::text)`],
  ['D2: a column that is dropped and added under the same name is another one', 'swapped', `ALTER TABLE swapped DROP COLUMN v; ALTER TABLE swapped ADD COLUMN v text DEFAULT 'new'`],
  ['D7: a table that is dropped and made again in the same shape is another one', 'remade', `DROP TABLE remade; CREATE TABLE remade (id int PRIMARY KEY, v text); INSERT INTO remade VALUES (1, 'again'), (99, 'other')`],
  ['D11: VACUUM FULL and CLUSTER change nothing', 'emptied', `VACUUM FULL emptied`],
];

test('DDL that no row tells of is brought right by itself, in both replicas', async (t) => {
  const setting = await ledgerSetting(t, { schema });
  const { source, daemon } = setting;
  daemon.start();
  await daemon.streaming();
  const tables = ['grown', 'rewritten', 'swapped', 'remade', 'emptied'];
  await setting.equal(tables);
  for (const [rule, table, sql] of changes) {
    await t.test(rule, async () => {
      for (const statement of sql.split('; ')) await source.sql(statement);
      await setting.equal([table]);
    });
  }
  await t.test('D12: DDL that is rolled back changes nothing', async () => {
    await source.sql('BEGIN; ALTER TABLE grown ADD COLUMN gone int DEFAULT 1; ROLLBACK');
    await source.sql(`INSERT INTO grown VALUES (100, 'after', 1)`);
    await setting.equal(['grown']);
  });
  await t.test('D7: rows of a table that is dropped before anybody could look at it hold up no other, and the table is named', async () => {
    // All of it at once: what the column is called then is in no catalog any more, and a row is told by all of its columns.
    daemon.signal('SIGSTOP');
    await source.sql(`ALTER TABLE doomed RENAME COLUMN v TO w; INSERT INTO doomed VALUES (3, 'c')`);
    await source.sql(`UPDATE doomed SET n = n + 10`);
    await source.sql(`DROP TABLE doomed; UPDATE grown SET v = 'goes on' WHERE id = 2`);
    daemon.signal('SIGCONT');
    await setting.equal(['grown']);
    assert.match(daemon.output, /"table":"public.doomed","msg":"a table was dropped at the source: replicas keep it as it was last/);
    await eventually(async () => (await daemon.status()).leftOut.some((reason) => /^public.doomed was dropped at the source/.test(reason)), { what: 'status to name it' });
  });
  await t.test('D6: a table that was rewritten and renamed before anybody could look at it arrives under its new name', async () => {
    daemon.signal('SIGSTOP');
    await source.sql(`ALTER TABLE moving ADD COLUMN token text DEFAULT md5(random()::text)`);
    await source.sql(`UPDATE moving SET n = n + 10`);
    await source.sql(`ALTER TABLE moving RENAME TO moved`);
    daemon.signal('SIGCONT');
    await setting.equal(['moved']);
  });
  await t.test('D1, D3: sinks that are 10,000 events behind follow what becomes of a table meanwhile', async () => {
    const release = await heldReplicas(setting);
    await source.sql(`INSERT INTO swapped SELECT n, 'v' || n FROM generate_series(1000, 5999) n`);
    await source.sql(`ALTER TABLE swapped RENAME COLUMN v TO w; ALTER TABLE swapped ADD COLUMN token text DEFAULT md5(random()::text)`);
    await source.sql(`UPDATE swapped SET w = 'x' || id, id = -id`);
    await eventually(async () => ((await daemon.status()).source?.events ?? 0) > 10_000, { what: 'the log to have it all' });
    await release();
    await setting.equal(['swapped']);
  });
  await t.test('D14: a thousand changes of shape within seconds arrive', async () => {
    await source.sql(`DO $$ BEGIN FOR i IN 1..500 LOOP
      EXECUTE format('ALTER TABLE emptied ADD COLUMN c%s int DEFAULT %s', i, i); COMMIT;
      IF i % 20 = 0 THEN EXECUTE format('UPDATE emptied SET c%s = 0 WHERE id = 3', i); COMMIT; END IF;
      IF i > 5 THEN EXECUTE format('ALTER TABLE emptied DROP COLUMN c%s', i - 5); COMMIT; END IF;
    END LOOP; END $$`);
    await setting.equal(['emptied']);
  });
  for (const sink of ['postgres', 'sqlite']) {
    await t.test(`D3: kill -9 in the middle of a change of shape in the ${sink} sink leaves the old one or the new one`, async () => {
      await daemon.stop();
      daemon.start({ TAILRACE_FAILPOINT: `ddl.mid.${sink}:kill9:3` });
      await daemon.streaming();
      await source.sql('BEGIN; ALTER TABLE remade RENAME COLUMN v TO w; ALTER TABLE remade RENAME COLUMN id TO v; ALTER TABLE remade RENAME COLUMN w TO id; COMMIT');
      await source.sql(`INSERT INTO remade VALUES (7${sink.length}, 'after')`);
      assert.equal(await daemon.exited(), null, 'the daemon died by the kill');
      daemon.start();
      await daemon.streaming();
      await setting.equal(['remade']);
    });
  }
  await t.test('D8: kill -9 while the sqlite sink makes a table again for its new key, with the old one gone and the new one not yet in its place, leaves the old one', async () => {
    await daemon.stop();
    const before = dumpSqlite(setting.sqlite, 'remade');
    daemon.start({ TAILRACE_FAILPOINT: 'ddl.rebuild.sqlite:kill9' });
    await daemon.streaming();
    await source.sql('ALTER TABLE remade DROP CONSTRAINT remade_pkey, ADD PRIMARY KEY (v, id)');
    await source.sql(`INSERT INTO remade VALUES (7, 'again')`);
    assert.equal(await daemon.exited(), null, 'the daemon died by the kill');
    assert.ok(before.length > 0);
    assert.deepEqual([dumpSqlite(setting.sqlite, 'remade'), sqliteKey(setting.sqlite, 'remade')], [before, ['id']]);
    daemon.start();
    await daemon.streaming();
    await setting.equal(['remade']);
    assert.deepEqual(sqliteKey(setting.sqlite, 'remade'), ['v', 'id']);
  });
  await t.test('the same while nothing runs: it is noticed at the start', async () => {
    await daemon.stop();
    await source.sql(`ALTER TABLE grown ADD COLUMN later text DEFAULT 'later'`);
    await source.sql(`ALTER TABLE rewritten ADD COLUMN again text DEFAULT md5(random()::text)`);
    daemon.start();
    await daemon.streaming();
    await setting.equal(['grown', 'rewritten']);
  });
});

test('D11: in a publication for all tables a table that was unlogged for a while, live or while nothing runs, has what happened meanwhile', async (t) => {
  const setting = await ledgerSetting(t, {
    schema: `CREATE TABLE logged (id int PRIMARY KEY, v text); INSERT INTO logged SELECT n, 'v' FROM generate_series(1, 20) n; CREATE PUBLICATION all_tables FOR ALL TABLES`,
    inSource: '  publication: all_tables\n',
  });
  const { source, daemon } = setting;
  const away = async (n: number): Promise<void> => {
    await source.sql('ALTER TABLE logged SET UNLOGGED');
    await source.sql(`DELETE FROM logged WHERE id < ${n}; UPDATE logged SET v = 'unseen ${n}' WHERE id = ${n + 1}; INSERT INTO logged VALUES (${100 + n}, 'unseen')`);
    await source.sql('ALTER TABLE logged SET LOGGED');
  };
  daemon.start();
  await daemon.streaming();
  await setting.equal(['logged']);
  await away(3);
  await setting.equal(['logged']);
  await daemon.stop();
  await away(6);
  daemon.start();
  await daemon.streaming();
  await source.sql(`UPDATE logged SET v = 'seen' WHERE id = 15`);
  await setting.equal(['logged']);
});

test('D3: with ddl: pause a change of shape stops its sinks with the statement to run, and they go on by themselves once it has been run', async (t) => {
  const setting = await ledgerSetting(t, { schema: `CREATE TABLE renamed (id int PRIMARY KEY, a text); INSERT INTO renamed VALUES (1, 'one')`, yaml: 'ddl: pause\n' });
  const { source, replica, daemon } = setting;
  daemon.start();
  await daemon.streaming();
  await setting.equal(['renamed']);
  await source.sql('ALTER TABLE renamed RENAME COLUMN a TO b');
  await source.sql(`INSERT INTO renamed VALUES (2, 'two')`);
  const stopped = await eventually(async () => (await daemon.status()).sinks.find(({ name, error }) => name === 'reporting' && error?.code === 'sink-shape'), { what: 'the sink to say so' });
  assert.match(stopped.error?.message ?? '', /column a was renamed to b/);
  await replica.sql(/Run at the replica: (.*?)\. The sink/.exec(stopped.error?.remedy ?? '')?.[1] ?? 'a statement is missing');
  await eventually(async () => (await replica.sql('SELECT b FROM renamed ORDER BY id')).map(({ b }) => b).join() === 'one,two', { what: 'the sink to go on' });
});

test('D1, D3, D4: with ddl: ignore replicas keep the columns that they have, under their names and types; a new name of the table is followed, another key stops them', async (t) => {
  const setting = await ledgerSetting(t, { schema: `CREATE TABLE kept (id int PRIMARY KEY, a text, b text, n int); INSERT INTO kept SELECT i, 'a' || i, 'b', i FROM generate_series(1, 3) i`, yaml: 'ddl: ignore\n' });
  const { source, replica, sqlite, daemon } = setting;
  /** Both replicas hold these rows, and the columns that they had. */
  const holds = async (table: string, rows: readonly string[]): Promise<void> => {
    const inSqlite = (): string[] => {
      const file = new DatabaseSync(sqlite, { readOnly: true });
      try {
        return file.prepare(`SELECT * FROM ${table} ORDER BY id`).all().map((row) => JSON.stringify(Object.entries(row)));
      } finally {
        file.close();
      }
    };
    const expected = rows.map((row) => JSON.stringify(Object.entries(JSON.parse(row) as object)));
    let last: unknown;
    const equal = async (): Promise<boolean> => {
      const inPostgres = (await replica.sql(`SELECT * FROM ${table} ORDER BY id`)).map((row) => JSON.stringify(Object.entries(row)));
      last = { inPostgres, inSqlite: inSqlite() };
      return isDeepStrictEqual(last, { inPostgres: expected, inSqlite: expected });
    };
    await eventually(equal).catch(() => assert.fail(`${JSON.stringify(last)} for ${expected.join()}\n${daemon.output.slice(-2000)}`));
  };
  daemon.start();
  await daemon.streaming();
  await setting.equal(['kept']);
  await source.sql('ALTER TABLE kept ADD COLUMN c int DEFAULT 7; ALTER TABLE kept RENAME COLUMN a TO x; ALTER TABLE kept ALTER n TYPE bigint');
  await source.sql("UPDATE kept SET x = 'one' WHERE id = 1; INSERT INTO kept VALUES (4, 'four', 'b', 4, 7)");
  await holds('kept', ['{"id":1,"a":"one","b":"b","n":1}', '{"id":2,"a":"a2","b":"b","n":2}', '{"id":3,"a":"a3","b":"b","n":3}', '{"id":4,"a":"four","b":"b","n":4}']);
  await daemon.stop();
  await source.sql('ALTER TABLE kept DROP COLUMN b; ALTER TABLE kept RENAME TO renamed');
  await source.sql("INSERT INTO renamed VALUES (5, 'five', 5, 8); DELETE FROM renamed WHERE id IN (2, 3); UPDATE renamed SET x = 'uno' WHERE id = 1");
  daemon.start();
  await daemon.streaming();
  await holds('renamed', ['{"id":1,"a":"uno","b":null,"n":1}', '{"id":4,"a":"four","b":null,"n":4}', '{"id":5,"a":"five","b":null,"n":5}']);
  await source.sql('ALTER TABLE renamed DROP CONSTRAINT kept_pkey, ADD PRIMARY KEY (x)');
  await source.sql("INSERT INTO renamed VALUES (5, 'other', 5, 8)");
  const stopped = await eventually(async () => {
    const codes = (await daemon.status()).sinks.map(({ error }) => error?.code ?? null);
    return codes.every((code) => code !== null) && codes;
  }, { what: 'both sinks to stop' });
  assert.deepEqual(stopped, ['sink-shape', 'sink-shape']);
});
