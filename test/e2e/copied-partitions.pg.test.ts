import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { tailrace } from '../support/daemon.ts';
import { freshDatabase } from '../support/postgres.ts';
import { ledgerSetting, type Setting } from '../support/shop.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { eventually } from '../support/wait.ts';

/** A keyed table, which is copied by chunks, and one that is copied in one piece; nested partitions in both. */
const schema = `CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100);
  CREATE TABLE rest PARTITION OF t FOR VALUES FROM (100) TO (300) PARTITION BY RANGE (id); INSERT INTO t SELECT n, 'v' FROM generate_series(1, 20) n;
  CREATE TABLE bag (n int, v text) PARTITION BY LIST (n); ALTER TABLE bag REPLICA IDENTITY FULL; CREATE TABLE one PARTITION OF bag FOR VALUES IN (1); ALTER TABLE one REPLICA IDENTITY FULL; INSERT INTO bag VALUES (1, 'twin'), (1, 'twin')`;
/** Partitions that come with rows. */
const came = `CREATE TABLE more (v text, id int NOT NULL PRIMARY KEY); INSERT INTO more SELECT 'came', n FROM generate_series(250, 259) n; ALTER TABLE rest ATTACH PARTITION more FOR VALUES FROM (200) TO (300);
  CREATE TABLE two (n int, v text); ALTER TABLE two REPLICA IDENTITY FULL; INSERT INTO two VALUES (2, 'came'), (2, 'came'); ALTER TABLE bag ATTACH PARTITION two FOR VALUES IN (2)`;
/** What the catalog's watch asks first, again and again; its other questions are prepared, and their texts are sent once. While nothing is copied nobody else asks it. */
const question = 'pg_current_snapshot()';

/** A daemon with everything copied, whose looks at the catalog are held from here on; and what lets them go on. */
async function unwatched(t: TestContext, inSource = ''): Promise<{ readonly setting: Setting; readonly goOn: () => void }> {
  const database = await freshDatabase(t);
  const proxy = await TcpProxy.before(database.url);
  t.after(() => proxy.close());
  const setting = await ledgerSetting(t, { schema, inSource, source: { ...database, url: proxy.through(database.url) } });
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.equal(['t', 'bag']);
  return { setting, goOn: await proxy.holdAfter(question) };
}

/** Copies both tables, with the partitions that have come meanwhile. */
async function copied({ daemon, replica }: Setting): Promise<void> {
  for (const table of ['public.t', 'public.bag']) {
    const { code, err } = await tailrace(['snapshot', table, daemon.file]);
    assert.equal(code, 0, err);
  }
  await eventually(async () => (await replica.sql("SELECT FROM t WHERE v = 'came' UNION ALL SELECT FROM bag WHERE v = 'came'")).length === 12, { what: 'the rows of the partitions' });
  await daemon.streaming();
}

for (const [how, steps] of [
  ['are dropped', ['DROP TABLE more, two']],
  ['are detached', ['ALTER TABLE rest DETACH PARTITION more; ALTER TABLE bag DETACH PARTITION two']],
  ['are detached concurrently', ['ALTER TABLE rest DETACH PARTITION more CONCURRENTLY', 'ALTER TABLE bag DETACH PARTITION two CONCURRENTLY']],
  ['go with the one above them', ['DROP TABLE rest, two']],
  ['are out of their tables for a moment, and have other rows then', [`ALTER TABLE rest DETACH PARTITION more; DELETE FROM more WHERE id < 255; UPDATE more SET v = 'unseen'; ALTER TABLE rest ATTACH PARTITION more FOR VALUES FROM (200) TO (300);
    ALTER TABLE bag DETACH PARTITION two; TRUNCATE two; ALTER TABLE bag ATTACH PARTITION two FOR VALUES IN (2)`]],
] as const) {
  test(`R12: partitions that are attached with rows, copied, and ${how} before anybody has looked at the catalog leave no row behind`, { timeout: 180_000 }, async (t) => {
    const { setting, goOn } = await unwatched(t);
    await setting.source.sql(came);
    await copied(setting);
    for (const step of steps) await setting.source.sql(step);
    goOn();
    await setting.equal(['t', 'bag']);
  });
}

test('R12: rows that were streamed of a partition that was out of its table for a moment before anybody has looked at the catalog are taken back', { timeout: 180_000 }, async (t) => {
  const { setting, goOn } = await unwatched(t);
  const { source, replica } = setting;
  await source.sql('CREATE TABLE two PARTITION OF bag FOR VALUES IN (2); ALTER TABLE two REPLICA IDENTITY FULL; CREATE TABLE more PARTITION OF rest FOR VALUES FROM (200) TO (300)');
  await source.sql("INSERT INTO t SELECT n, 'came' FROM generate_series(250, 259) n; INSERT INTO bag VALUES (2, 'came'), (2, 'came')");
  await eventually(async () => (await replica.sql("SELECT FROM t WHERE v = 'came' UNION ALL SELECT FROM bag WHERE v = 'came'")).length === 12, { what: 'the rows of the partitions' });
  await source.sql('ALTER TABLE rest DETACH PARTITION more; DELETE FROM more WHERE id < 255; ALTER TABLE bag DETACH PARTITION two; DELETE FROM two');
  await source.sql('ALTER TABLE rest ATTACH PARTITION more FOR VALUES FROM (200) TO (300); ALTER TABLE bag ATTACH PARTITION two FOR VALUES IN (2)');
  goOn();
  await setting.equal(['t', 'bag']);
});

test('R12: so do those that go while nobody is there, when the daemon was killed behind such a copy', { timeout: 180_000 }, async (t) => {
  const { setting, goOn } = await unwatched(t);
  const { daemon, source } = setting;
  await source.sql(came);
  await copied(setting);
  await daemon.kill();
  goOn();
  await source.sql('DROP TABLE more, two');
  daemon.start();
  await daemon.streaming();
  await setting.equal(['t', 'bag']);
});
