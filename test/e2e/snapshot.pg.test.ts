import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import pg from 'pg';
import type { PipelineVerification } from '../../src/app/verify.ts';
import type { TableCopyStatus } from '../../src/pipeline/status.ts';
import { tailrace } from '../support/daemon.ts';
import type { TestDatabase } from '../support/postgres.ts';
import { ledgerSetting, type Setting } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';

/** More than is read in one stretch, with values out of line. */
const schema = `CREATE TABLE wide (id int PRIMARY KEY, n int, big text); ALTER TABLE wide ALTER big SET STORAGE EXTERNAL;
  INSERT INTO wide SELECT g, 0, repeat(md5(g::text), 80) FROM generate_series(1, 30000) g; CREATE TABLE other (id int PRIMARY KEY)`;

/** An application that never stops: rows that were copied and rows that were not are changed, moved and removed. */
async function busy({ source }: Setting, signal: AbortSignal): Promise<void> {
  for (let i = 1; !signal.aborted; i++) {
    const at = (i * 7919) % 30_000;
    await source.sql(`UPDATE wide SET n = n + 1 WHERE id BETWEEN ${at} AND ${at + 20};
      UPDATE wide SET id = -id WHERE id = ${(i * 104_729) % 30_000}; UPDATE wide SET id = -id WHERE id = ${-((i * 15_485_863) % 30_000)};
      DELETE FROM wide WHERE id = ${(i * 1299) % 30_000}; INSERT INTO wide VALUES (${30_000 + i}, 0, 'new ${i}')`);
  }
}

async function connection(t: TestContext, { url }: TestDatabase): Promise<pg.Client> {
  const client = new pg.Client(url);
  // Its database goes before it does.
  client.on('error', () => {});
  await client.connect();
  t.after(() => client.end());
  return client;
}

/** What was copied when the daemon went on with a table, and in the end. */
function copied({ daemon }: Setting): { readonly resumed: readonly number[]; readonly done: number } {
  const lines = daemon.output.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as { msg: string; table?: string; rows: number });
  const of = (msg: string): number[] => lines.filter((line) => line.msg === msg && line.table === 'public.wide').map(({ rows }) => rows);
  return { resumed: of('copying a table'), done: of('a table is copied').at(-1) ?? 0 };
}

test('K3, O4: a copy that is killed, and one that is stopped, goes on where it was, while its rows are changed', { timeout: 240_000 }, async (t) => {
  const setting = await ledgerSetting(t, { schema });
  const { daemon } = setting;
  const over = new AbortController();
  const writing = busy(setting, over.signal);
  // Chunks of 4 MiB, of 75 MB: the kill comes when a good third is in the log.
  daemon.start({ TAILRACE_FAILPOINT: 'snapshot.chunk_read:kill9:13' });
  assert.equal(await daemon.exited(), null, 'it died by the kill');
  daemon.start();
  await eventually(async () => ((await daemon.status()).snapshot.find(({ table }) => table === 'public.wide')?.rows ?? 0) > 18_000, { what: 'the second third', timeoutMs: 60_000 });
  assert.equal(await daemon.stop(), 0);
  daemon.start();
  await daemon.streaming();
  over.abort();
  await writing;
  await setting.equal(['wide']);
  const { resumed: [first, second, third], done } = copied(setting);
  assert.equal(first, 0);
  assert.ok((second ?? 0) > 0.3 * done, `after the kill it went on at ${second} of ${done}`);
  assert.ok((third ?? 0) > (second ?? 0), `after the stop it went on at ${third} of ${done}`);
});

test('a copy is paused, resumed, given up and ordered for some rows while its rows are changed: what is copied is right, and nothing else is touched', { timeout: 240_000 }, async (t) => {
  const setting = await ledgerSetting(t, { schema });
  const { source, replica, daemon } = setting;
  const wide = async (): Promise<TableCopyStatus | undefined> => (await daemon.status()).snapshot.findLast(({ table }) => table === 'public.wide');
  const command = async (...args: readonly string[]): Promise<void> => {
    const { code, err } = await tailrace(['snapshot', ...args, daemon.file]);
    assert.equal(code, 0, err);
  };
  const holder = await connection(t, source);
  /** A command in the middle of the copy, however fast that is: its next stretch waits for the table. */
  const commandAfter = async (rows: number, ...args: readonly string[]): Promise<void> => {
    const isUnderWay = (copy: TableCopyStatus | undefined): boolean => copy?.state === 'copying' && copy.rows > rows;
    await eventually(async () => isUnderWay(await wide()), { what: `${rows} rows`, timeoutMs: 60_000 });
    await holder.query('BEGIN; LOCK TABLE wide IN ACCESS EXCLUSIVE MODE');
    await command(...args);
    await holder.query('ROLLBACK');
  };
  const over = new AbortController();
  const writing = busy(setting, over.signal);
  daemon.start();
  await commandAfter(5000, '--pause', 'public.wide');
  const paused = await eventually(async () => ((await wide())?.state === 'paused' ? wide() : null), { what: 'the pause' });
  // Changes go on meanwhile, and a restart changes nothing about it.
  await source.sql('INSERT INTO other VALUES (1)');
  await setting.equal(['other']);
  await daemon.kill();
  daemon.start();
  await source.sql('INSERT INTO other VALUES (2)');
  await setting.equal(['other']);
  assert.equal((await wide())?.state, 'paused');
  assert.ok((paused?.rows ?? 0) > 5000);
  await command('--resume', 'public.wide');
  await daemon.streaming();

  // Damage that no change of the source brings right: columns that the application leaves alone.
  const damage = (id: string): Promise<unknown> => replica.sql(`UPDATE wide SET big = 'damaged' WHERE ${id}`);
  const damaged = async (id: string): Promise<number> => (await replica.sql(`SELECT FROM wide WHERE big = 'damaged' AND (${id})`)).length;
  await eventually(async () => (await replica.sql('SELECT FROM wide WHERE id = 29500 OR id = -29500')).length === 1, { what: 'the rows', timeoutMs: 60_000 });
  await damage('abs(id) BETWEEN 5000 AND 15000 OR abs(id) > 29000');
  assert.ok((await damaged('abs(id) BETWEEN 5000 AND 15000')) > 5000);
  await command('public.wide', '--where', 'abs(id) BETWEEN 5000 AND 15000');
  await daemon.streaming();
  await eventually(async () => (await damaged('abs(id) BETWEEN 5000 AND 15000')) === 0, { what: 'the rows that were asked for', timeoutMs: 60_000 });
  assert.ok((await damaged('abs(id) > 29000')) > 100, 'other rows are as they were');

  await command('public.wide');
  await commandAfter(3000, '--stop', 'public.wide');
  await eventually(async () => (await wide())?.state === 'stopped', { what: 'the end of it' });
  await source.sql('INSERT INTO other VALUES (3)');
  await setting.equal(['other']);
  const [left] = await replica.sql<{ n: number }>('SELECT count(*)::int AS n FROM wide');
  assert.ok(left !== undefined && left.n < 29_000, `${left?.n} rows are not a part`);
  await command('public.wide');
  await daemon.streaming();
  over.abort();
  await writing;
  await setting.equal(['wide']);
});

test('P21, P22: rights that go and policies that come while a table is copied concern that table alone, and nothing is left out in silence', { timeout: 240_000 }, async (t) => {
  const setting = await ledgerSetting(t, { schema });
  const { source, daemon } = setting;
  const wide = async () => (await daemon.status()).snapshot.find(({ table }) => table === 'public.wide');
  const role = source.name;
  await source.sql(`CREATE ROLE "${role}" LOGIN REPLICATION PASSWORD 'x'; GRANT SELECT ON wide, other TO "${role}"; CREATE PUBLICATION p FOR TABLE wide, other`);
  t.after(() => source.sql(`DROP OWNED BY "${role}"; DROP ROLE "${role}"`).then(() => undefined, () => undefined));
  const url = new URL(source.url);
  url.username = role;
  url.password = 'x';
  await source.sql(`SELECT pg_create_logical_replication_slot('${role}', 'pgoutput')`);
  await writeFile(daemon.file, (await readFile(daemon.file, 'utf8')).replace(source.url, `${url.href}\n  publication: p\n  slot: ${role}`));
  const [before, holder] = [await connection(t, source), await connection(t, source)];
  // The copies wait for it, while the daemon is connected.
  await before.query('BEGIN; SELECT pg_current_xact_id()');
  daemon.start();
  await eventually(async () => (await wide())?.waitingFor, { what: 'the copy to wait', timeoutMs: 60_000 });
  const waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'wide'::regclass";
  /** Happens while a chunk is being read. */
  const meanwhile = async (begin: () => Promise<unknown>, takes: string): Promise<void> => {
    await holder.query('BEGIN; LOCK TABLE wide IN ACCESS EXCLUSIVE MODE');
    await begin();
    await eventually(async () => (await source.sql(waits)).length > 0, { what: 'a chunk that is read', timeoutMs: 60_000 });
    await holder.query(`${takes}; COMMIT`);
    await eventually(async () => (await wide())?.state === 'failed', { what: 'the refusal', timeoutMs: 60_000 });
    const error = (await wide())?.error;
    assert.equal(error?.code, 'source-refused');
    assert.match(error?.message ?? '', /public\.wide.*42501/);
    await source.sql('INSERT INTO other SELECT coalesce(max(id), 0) + 1 FROM other');
    await setting.equal(['other']);
  };
  const resume = async (): Promise<void> => assert.equal((await tailrace(['snapshot', '--resume', 'public.wide', daemon.file])).code, 0);
  await meanwhile(() => before.query('COMMIT'), `REVOKE SELECT ON wide FROM "${role}"`);
  await source.sql(`GRANT SELECT ON wide TO "${role}"`);
  await meanwhile(resume, 'ALTER TABLE wide ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON wide USING (id < 10)');
  await source.sql('ALTER TABLE wide DISABLE ROW LEVEL SECURITY');
  await resume();
  await daemon.streaming();
  await setting.equal(['wide', 'other']);
});

test('a table that is dropped while it is copied ends its copy and nothing else, by chunks and in one piece', { timeout: 240_000 }, async (t) => {
  const setting = await ledgerSetting(t, { schema: `${schema}; CREATE TABLE bag (v text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag VALUES ('twin'), ('twin')` });
  const { source, replica, daemon } = setting;
  const copyOf = async (table: string): Promise<TableCopyStatus | undefined> => (await daemon.status()).snapshot.findLast((copy) => copy.table === table);
  const holder = await connection(t, source);
  daemon.start();
  await eventually(async () => ((await copyOf('public.wide'))?.rows ?? 0) > 3000, { what: 'some rows', timeoutMs: 60_000 });
  // Its next stretch waits for the table, and finds it gone.
  await holder.query('BEGIN; LOCK TABLE wide IN ACCESS EXCLUSIVE MODE');
  assert.equal((await copyOf('public.wide'))?.state, 'copying');
  await holder.query('DROP TABLE wide; COMMIT');
  await daemon.streaming();
  await source.sql('INSERT INTO other VALUES (1)');
  await setting.equal(['other', 'bag']);
  await holder.query('BEGIN; LOCK TABLE bag IN ACCESS EXCLUSIVE MODE');
  const { code, err } = await tailrace(['snapshot', 'public.bag', daemon.file]);
  assert.equal(code, 0, err);
  await eventually(async () => (await source.sql("SELECT FROM pg_locks WHERE relation = 'bag'::regclass AND NOT granted")).length > 0, { what: 'the copy to wait for the table' });
  await holder.query('DROP TABLE bag; COMMIT');
  await daemon.streaming();
  await source.sql('INSERT INTO other VALUES (2)');
  await setting.equal(['other']);
  // The look and the copy find it out by themselves, and what status says is a moment old.
  for (const said of ['a table was dropped at the source', 'a table was dropped while it was being copied']) await eventually(() => daemon.output.split(said).length === 3, { what: `${said}, twice` });
  await eventually(async () => (await copyOf('public.bag')) === undefined, { what: 'status to know of no copy of it' });
  // Replicas keep both as they were, and the daemon says that and nothing else: no connection was lost.
  assert.deepEqual((await daemon.status()).snapshot.map(({ table }) => table), ['public.other']);
  const [left] = await replica.sql<{ wide: number; bag: number }>('SELECT (SELECT count(*)::int FROM wide) AS wide, (SELECT count(*)::int FROM bag) AS bag');
  assert.ok(left !== undefined && left.wide > 0 && left.wide < 30_000 && left.bag === 2, JSON.stringify(left));
  const said = daemon.output.split('\n').filter((line) => /"level":"(warn|error)"/.test(line)).map((line) => (JSON.parse(line) as { msg: string }).msg.replace(/:.*/, ''));
  assert.deepEqual([...new Set(said)].toSorted(), ['a table was dropped at the source', 'a table was dropped while it was being copied']);
  assert.equal(said.length, 4);
  // What has no copy and never will is not one that is waited for.
  const { out } = await tailrace(['verify', daemon.file, '--json']);
  const [verified] = JSON.parse(out) as PipelineVerification[];
  assert.deepEqual(verified?.sinks.map(({ tables }) => tables.map(({ table, state }) => `${table} ${state}`).join()), Array(2).fill('public.bag gone,public.other equal,public.wide gone'));
});
