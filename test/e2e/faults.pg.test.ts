import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { DatabaseSync } from 'node:sqlite';
import { TestDaemon } from '../support/daemon.ts';
import { freshDatabase, startPostgres } from '../support/postgres.ts';
import { dumpPostgres, dumpSqlite } from '../support/replicas.ts';
import { connector, ledgerSetting, nameFor, sqliteSum } from '../support/shop.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';
import { Ledger } from '../support/workload.ts';

const oneTable = 'CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 100) n';

test('a slot that was dropped and made again is noticed at the start: exit 4, with the size of the gap', async (t) => {
  const setting = await ledgerSetting(t, { schema: oneTable });
  const { source, daemon } = setting;
  daemon.start();
  await daemon.streaming();
  await setting.equal(['t']);
  await daemon.stop();
  const slot = `tailrace_${nameFor(source)}`;
  await source.sql('SELECT pg_drop_replication_slot($1)', [slot]);
  await source.sql(`INSERT INTO t VALUES (1001, 'never read')`);
  await source.sql(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  daemon.start();
  assert.equal(await daemon.exited(), 4);
  assert.match(daemon.output, /\d+ bytes of WAL were never read/);
  assert.match(daemon.output, /"code":"gap"/);
});

test('a slot that was advanced by hand is a gap; on_gap: snapshot copies everything anew, deleted rows included', async (t) => {
  const setting = await ledgerSetting(t, { schema: oneTable, yaml: 'on_gap: snapshot\n' });
  const { source, daemon } = setting;
  daemon.start();
  await daemon.streaming();
  await setting.equal(['t']);
  await daemon.stop();
  await source.sql(`DELETE FROM t WHERE id < 50; INSERT INTO t VALUES (1001, 'never read')`);
  await source.sql('SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())', [`tailrace_${nameFor(source)}`]);
  daemon.start();
  await daemon.streaming();
  await setting.equal(['t']);
  await source.sql(`UPDATE t SET v = 'later' WHERE id = 60`);
  await setting.equal(['t']);
});

test('a replica that is down holds up neither the source nor the other replica, and catches up by itself', async (t) => {
  const setting = await ledgerSetting(t, { schema: oneTable });
  const { source, daemon, directory, sqlite } = setting;
  const other = await startPostgres({}, t);
  const url = await other.createDatabase('replica');
  await writeFile(daemon.file, connector({ name: nameFor(source), source: source.url, replica: url, directory, sqlite }));
  daemon.start();
  await daemon.streaming();
  const rows = async (): Promise<number> => (await other.sql('SELECT 1 FROM t', [], 'replica').catch(() => [])).length;
  await eventually(async () => (await rows()) === 100);
  await other.stop('immediate');
  await source.sql(`INSERT INTO t SELECT n, 'while it was down' FROM generate_series(1001, 3000) n`);
  await eventually(() => dumpSqlite(sqlite, 't').length === 2100, { what: 'the other replica' });
  const lsn = await source.sql<{ lsn: string }>('SELECT pg_current_wal_lsn() AS lsn');
  await eventually(async () => {
    const [row] = await source.sql<{ ok: boolean }>('SELECT confirmed_flush_lsn >= $1::pg_lsn AS ok FROM pg_replication_slots WHERE database = current_database()', [lsn[0]?.lsn]);
    return row?.ok;
  }, { what: 'the slot to move on' });
  const down = (await daemon.status()).sinks.find((sink) => sink.name === 'reporting');
  assert.equal(down?.state, 'retrying');
  assert.equal(down.error?.code, 'sink-unreachable');
  await other.start();
  await eventually(async () => (await rows()) === 2100, { what: 'the replica to catch up', timeoutMs: 60_000 });
});

test('a replica with a table in the way gets a clear error, and goes on once it is gone', async (t) => {
  const setting = await ledgerSetting(t, { schema: oneTable });
  await setting.replica.sql(`CREATE TABLE t (other int); INSERT INTO t VALUES (1)`);
  setting.daemon.start();
  const blocked = await eventually(async () => (await setting.daemon.status()).sinks.find((sink) => sink.name === 'reporting' && sink.error !== null));
  assert.equal(blocked.error?.code, 'sink-conflict');
  assert.match(blocked.error.message, /public\.t|"t"/);
  await setting.replica.sql('DROP TABLE t');
  await setting.equal(['t']);
});

test('a wrong password stops nothing for ever: it is said, and works after it is mended', async (t) => {
  const setting = await ledgerSetting(t, { schema: oneTable });
  await setting.source.sql(`DO $$ BEGIN EXECUTE format('CREATE ROLE %I LOGIN SUPERUSER PASSWORD %L', current_database(), 'right'); END $$`);
  t.after(() => setting.source.sql(`DO $$ BEGIN EXECUTE format('DROP OWNED BY %I', current_database()); EXECUTE format('DROP ROLE %I', current_database()); END $$`).then(() => undefined, () => undefined));
  const url = new URL(setting.source.url);
  url.username = setting.source.name;
  url.password = 's3cr3t-CANARY-wrong';
  await writeFile(setting.daemon.file, connector({ name: nameFor(setting.source), source: url.href, replica: setting.replica.url, directory: setting.directory, sqlite: setting.sqlite }));
  setting.daemon.start();
  await eventually(async () => (await setting.daemon.status()).error?.code === 'source-refused', { what: () => `the refusal: ${setting.daemon.output}` });
  assert.equal((await fetch(`${await setting.daemon.url()}/readyz`)).status, 503);
  await setting.source.sql(`DO $$ BEGIN EXECUTE format('ALTER ROLE %I PASSWORD %L', current_database(), 's3cr3t-CANARY-wrong'); END $$`);
  await setting.daemon.streaming();
  await setting.equal(['t']);
  assert.doesNotMatch(setting.daemon.output, /CANARY/);
});

test('a table without a usable identity is left out and named, and the application can still write it', async (t) => {
  const setting = await ledgerSetting(t, { schema: `${oneTable}; CREATE TABLE bare (v int); INSERT INTO bare VALUES (1)` });
  setting.daemon.start();
  await setting.daemon.streaming();
  const { leftOut } = await setting.daemon.status();
  assert.equal(leftOut.length, 1);
  assert.match(leftOut[0] ?? '', /bare/);
  await setting.source.sql('UPDATE bare SET v = 2');
  await setting.equal(['t']);
});

test('tables and sinks that are added to the config later get what stood before', async (t) => {
  const setting = await ledgerSetting(t, { schema: `${oneTable}; CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO u SELECT n, 'u' FROM generate_series(1, 50) n` });
  const { source, replica, daemon, directory, sqlite } = setting;
  const full = connector({ name: nameFor(source), source: source.url, replica: replica.url, directory, sqlite });
  const [head, tail] = full.split('sinks:') as [string, string];
  const [first] = tail.split('  - name: local') as [string];
  await writeFile(daemon.file, `${head.replace('public.*', 'public.t')}sinks:${first}`);
  daemon.start();
  await daemon.streaming();
  await eventually(async () => (await dumpPostgres(replica, 't')).length === 100);
  await source.sql(`UPDATE t SET v = 'changed' WHERE id < 10; DELETE FROM t WHERE id = 50`);
  await daemon.stop();
  await source.sql(`INSERT INTO t VALUES (5000, 'while it was down'); UPDATE u SET v = 'uu' WHERE id = 1`);
  await writeFile(daemon.file, full);
  daemon.start();
  await daemon.streaming();
  await setting.equal(['t', 'u']);
});

test('two transactions whose commits are adjacent, and a kill between them: both arrive', async (t) => {
  const setting = await ledgerSetting(t, { schema: oneTable });
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.equal(['t']);
  await setting.daemon.stop();
  // COMMIT's end LSN of the first is the first LSN of the second: nothing else writes WAL in between.
  await setting.source.sql(`INSERT INTO t VALUES (2001, 'a')`);
  await setting.source.sql(`INSERT INTO t VALUES (2002, 'b')`);
  setting.daemon.start({ TAILRACE_FAILPOINT: 'publisher.acked:kill9:1' });
  await setting.daemon.exited();
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.equal(['t']);
});

test('a transactional replica never shows a source transaction in part', async (t) => {
  const setting = await ledgerSetting(t);
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.equal(['acct']);
  const ledger = new Ledger(setting.source.url, 5, 4, 5);
  const expected = 50_000;
  let samples = 0;
  await eventually(async () => {
    const [row] = await setting.replica.sql<{ total: string }>('SELECT sum(bal) AS total FROM acct');
    assert.equal(Number(row?.total), expected);
    assert.equal(sqliteSum(setting.sqlite), expected);
    samples++;
    return ledger.committed > 1500;
  }, { timeoutMs: 60_000 });
  await ledger.stop();
  assert.ok(samples > 5);
  await setting.equal();
});

test('a row that a replica refuses goes to the dead-letter topic with its key blocked, and the rest goes on', async (t) => {
  const source = await freshDatabase(t);
  const replica = await freshDatabase(t);
  const directory = await tempDirectory(t);
  await source.sql(oneTable);
  const sqlite = join(directory, 'replica.sqlite');
  const yaml = connector({ name: nameFor(source), source: source.url, replica: replica.url, directory, sqlite })
    .replace('type: postgres\n    url', 'type: postgres\n    on_error: dead-letter\n    url');
  const daemon = await TestDaemon.create(t, directory, yaml);
  daemon.start();
  await daemon.streaming();
  await eventually(async () => (await dumpPostgres(replica, 't')).length === 100);
  await replica.sql(`ALTER TABLE t ADD CONSTRAINT no_poison CHECK (v <> 'poison')`);
  await source.sql(`INSERT INTO t VALUES (3001, 'poison'), (3002, 'fine')`);
  await source.sql(`UPDATE t SET v = 'healed' WHERE id = 3001; INSERT INTO t VALUES (3003, 'later')`);
  await eventually(async () => (await dumpPostgres(replica, 't')).some((row) => row.includes('3003')), { what: 'the later row' });
  const there = (await dumpPostgres(replica, 't')).join('\n');
  assert.match(there, /id=3002/);
  assert.doesNotMatch(there, /id=3001/);
  await eventually(async () => (await daemon.status()).sinks.find((sink) => sink.name === 'reporting')?.blockedKeys === 1);
  const database = new DatabaseSync(sqlite, { readOnly: true });
  await eventually(() => database.prepare('SELECT v FROM t WHERE id = 3001').get()?.['v'] === 'healed');
  database.close();
});

test('a publication that is missing is named, and the pipeline goes on once it is made', async (t) => {
  const setting = await ledgerSetting(t, { schema: oneTable });
  const { source, replica, daemon, directory, sqlite } = setting;
  const yaml = connector({ name: nameFor(source), source: source.url, replica: replica.url, directory, sqlite });
  await writeFile(daemon.file, yaml.replace('  tables:', '  publication: made_by_hand\n  tables:'));
  daemon.start();
  const error = await eventually(async () => (await daemon.status()).error);
  assert.equal(error.code, 'source-not-ready');
  assert.match(`${error.message} ${error.remedy}`, /made_by_hand/);
  await source.sql('CREATE PUBLICATION made_by_hand FOR TABLE t');
  await daemon.streaming();
  await setting.equal(['t']);
});

const canMount = process.platform === 'linux' && process.getuid?.() === 0;

test('a full disk under the log holds the pipeline up with a clear error, and nothing is lost once there is space', { skip: canMount ? false : 'platform: only root can mount a small disk' }, async (t) => {
  const setting = await ledgerSetting(t, { schema: oneTable });
  const { source, daemon, directory } = setting;
  const log = join(directory, 'log');
  await mkdir(log);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', log]);
  try {
    daemon.start();
    await daemon.streaming();
    await setting.equal(['t']);
    await source.sql(`INSERT INTO t SELECT n, repeat(md5(n::text), 20) FROM generate_series(1001, 21000) n`);
    const error = await eventually(async () => (await daemon.status()).error, { what: 'the full disk', timeoutMs: 60_000 });
    assert.equal(error.code, 'log-unwritable');
    assert.notEqual(error.remedy, '');
    execFileSync('mount', ['-o', 'remount,size=256m', log]);
    await daemon.streaming();
    await setting.equal(['t']);
  } finally {
    // Here and not in an `after`: the folder must be free before it is removed.
    await daemon.kill();
    execFileSync('umount', [log]);
  }
});

test('several pipelines in one process, one of them in the JSON format, each feed their own replica', async (t) => {
  const first = await ledgerSetting(t, { yaml: 'format: json\n' });
  const second = await ledgerSetting(t, { schema: oneTable });
  await copyFile(second.daemon.file, join(first.directory, 'second.yaml'));
  const ledger = new Ledger(first.source.url, 3);
  first.daemon.start({}, { path: first.directory });
  await first.daemon.streaming();
  await eventually(() => ledger.committed > 300);
  await ledger.stop();
  await first.equal();
  await second.equal(['t']);
});
