import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { tailrace } from '../support/daemon.ts';
import { freshDatabase } from '../support/postgres.ts';
import { dumpPostgres, dumpSqlite, type Dump } from '../support/replicas.ts';
import { ledgerSetting } from '../support/shop.ts';
import { logRecords } from '../support/transaction-oracle.ts';
import { eventually } from '../support/wait.ts';

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

  assert.match((await replay('--sink', 'local', '--to', first, '--until', points[0]?.lsn ?? '')).err, /stands at [0-9A-F/]+ already, which is behind [^]*name another place/);

  // A copy that comes later empties the table first: what was there before it is still in the log.
  await source.sql(`CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1)`);
  await tailrace(['snapshot', 'public.stock', daemon.file]);
  await setting.equal(['stock', 'later']);
  await eventually(async () => (await logRecords(daemon.file, `${(await daemon.status()).pipeline}.public.stock`)).filter(({ op, after }) => op === 'r' && after?.['id'] === '1').length === 2, { what: 'the second copy' });
  const before = join(directory, 'before.sqlite');
  const told = await replay('--sink', 'local', '--to', before, '--until', points[1]?.lsn ?? '');
  assert.equal(told.code, 0, told.err);
  assert.deepEqual(dumpSqlite(before, 'stock'), points[1]?.rows, 'as of a point before the newest copy');
  assert.match(told.err, /has nothing of by then, and the replica neither: public\.later/);
  const whole = join(directory, 'whole.sqlite');
  const fromThen = await replay('--sink', 'local', '--to', whole, '--from', points[0]?.time ?? '');
  assert.equal(fromThen.code, 0, fromThen.err);
  assert.deepEqual(dumpSqlite(whole, 'later'), await dumpPostgres(source, 'later'), 'a table whose first copy came behind --from');
  assert.deepEqual(dumpSqlite(whole, 'stock'), points.at(-1)?.rows);
  assert.match((await replay('--sink', 'local', '--to', whole, '--from', points[0]?.lsn ?? '')).err, /is a replica already[^]*Leave --from out/);
  assert.match((await replay('--sink', 'local', '--to', join(directory, 'x'), '--from', points[1]?.lsn ?? '', '--until', points[0]?.lsn ?? '')).err, /--from [0-9A-F/]+ is behind --until/);
  const early = await replay('--sink', 'local', '--to', join(directory, 'x'), '--until', '2020-01-01');
  assert.equal(early.code, 4);
  assert.match(early.err, /holds nothing of 2020-01-01[^]*or earlier/);

  const same = await replay('--sink', 'local', '--to', setting.sqlite);
  assert.equal(same.code, 2);
  assert.match(same.err, /path of the sink local is the same: its replica belongs to the running pipeline/);
  assert.match((await replay('--sink', 'loca', '--to', 'x')).err, /has no sink loca/);
  assert.match((await replay('--sink', 'local', '--to', 'x', '--until', 'yesterday')).err, /Neither an LSN such as/);
});
