import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { tailrace } from '../support/daemon.ts';
import { freshDatabase } from '../support/postgres.ts';
import { dumpPostgres, dumpSqlite, type Dump } from '../support/replicas.ts';
import { ledgerSetting } from '../support/shop.ts';

const schema = `
  CREATE TABLE stock (id int PRIMARY KEY, n int NOT NULL, big text NOT NULL);
  ALTER TABLE stock ALTER COLUMN big SET STORAGE EXTERNAL;
  INSERT INTO stock SELECT n, 0, repeat(md5(n::text), 100) FROM generate_series(1, 50) n`;

test('replay: a replica is built from the log as of any LSN or time, beside the daemon, and goes on from there', async (t) => {
  const setting = await ledgerSetting(t, { schema });
  const { source, daemon, directory } = setting;
  daemon.start();
  await daemon.streaming();
  await setting.equal(['stock']);
  const points: { readonly lsn: string; readonly time: string; readonly rows: Dump }[] = [];
  for (const change of ['UPDATE stock SET n = id WHERE id > 25', 'DELETE FROM stock WHERE id <= 10; INSERT INTO stock VALUES (100, 1, \'new\')', 'TRUNCATE stock; INSERT INTO stock VALUES (1, 1, \'after\')']) {
    await source.sql(change);
    const [now] = await source.sql<{ lsn: string; time: string }>(`SELECT pg_current_wal_lsn()::text AS lsn, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS time`);
    points.push({ ...(now as { lsn: string; time: string }), rows: await dumpPostgres(source, 'stock') });
    // The next change is committed in another millisecond.
    await source.sql('SELECT pg_sleep(0.01)');
  }
  await setting.equal(['stock']);
  const replay = (...args: string[]): ReturnType<typeof tailrace> => tailrace(['replay', ...args, daemon.file]);
  for (const [i, { lsn, time, rows }] of points.entries()) {
    const byLsn = join(directory, `lsn-${i}.sqlite`);
    const done = await replay('--sink', 'local', '--to', byLsn, '--until', lsn);
    assert.equal(done.code, 0, done.err);
    assert.match(done.out, /local is built at its place with \d+ changes: it stands at [0-9A-F]+\/[0-9A-F]+, committed 20/);
    assert.deepEqual(dumpSqlite(byLsn, 'stock'), rows, `as of ${lsn}`);
    const byTime = join(directory, `time-${i}.sqlite`);
    assert.equal((await replay('--sink', 'local', '--to', byTime, '--until', time)).code, 0);
    assert.deepEqual(dumpSqlite(byTime, 'stock'), rows, `as of ${time}`);
  }
  const first = join(directory, 'lsn-0.sqlite');
  assert.equal((await replay('--sink', 'local', '--to', first)).code, 0);
  assert.deepEqual(dumpSqlite(first, 'stock'), points.at(-1)?.rows, 'what was built as of a point goes on to the end');
  const other = await freshDatabase(t);
  assert.equal((await replay('--sink', 'reporting', '--to', other.url, '--until', points[1]?.lsn ?? '')).code, 0);
  assert.deepEqual(await dumpPostgres(other, 'stock'), points[1]?.rows);

  const same = await replay('--sink', 'local', '--to', setting.sqlite);
  assert.equal(same.code, 2);
  assert.match(same.err, /path of the sink local is the same: its replica belongs to the running pipeline/);
  assert.match((await replay('--sink', 'loca', '--to', 'x')).err, /has no sink loca/);
  assert.match((await replay('--sink', 'local', '--to', 'x', '--until', 'yesterday')).err, /Neither an LSN such as/);
});
