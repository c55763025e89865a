import assert from 'node:assert/strict';
import { test } from 'node:test';
import { walPlace } from '../support/postgres.ts';
import { changeEverything, ledgerSetting } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';
import { Ledger } from '../support/workload.ts';

test('rows that stood before and rows that change arrive in a Postgres and a SQLite replica', async (t) => {
  const setting = await ledgerSetting(t);
  const { daemon } = setting;
  daemon.start();
  await daemon.streaming();
  await setting.equal();
  await changeEverything(setting);
  await setting.equal();
  assert.equal(await daemon.stop(), 0);
});

test('a copy that runs beside a workload loses nothing and doubles nothing', async (t) => {
  const setting = await ledgerSetting(t);
  const ledger = new Ledger(setting.source.url, 7, 4, 5);
  setting.daemon.start();
  await setting.daemon.streaming();
  await eventually(() => ledger.committed > 1500, { what: 'enough transactions', timeoutMs: 60_000 });
  await ledger.stop();
  await setting.equal();
});

test('a stop in good order and a start again send nothing twice into the log', async (t) => {
  const setting = await ledgerSetting(t);
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.source.sql('INSERT INTO nopk VALUES (77, 77)');
  await setting.equal();
  assert.equal(await setting.daemon.stop(), 0);
  const before = await walPlace(setting.source);
  await setting.source.sql('INSERT INTO nopk VALUES (78, 78)');
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.equal();
  assert.equal((await setting.daemon.statusBehind(before)).source?.events, 1);
});

test('a column that is added with a default arrives for the rows that stood before, too', async (t) => {
  const setting = await ledgerSetting(t, { schema: `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'v' FROM generate_series(1, 20) n` });
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.equal(['t']);
  await setting.source.sql(`ALTER TABLE t ADD COLUMN level int NOT NULL DEFAULT 7; ALTER TABLE t ADD COLUMN note text`);
  await setting.source.sql(`UPDATE t SET note = 'x' WHERE id = 3; ALTER TABLE t DROP COLUMN v`);
  await setting.source.sql(`INSERT INTO t (id) VALUES (100)`);
  await setting.equal(['t']);
});
