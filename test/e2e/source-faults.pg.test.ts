import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import pg from 'pg';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/cli/demo/embedded-postgres.ts';
import { tailrace } from '../support/daemon.ts';
import type { TestDatabase } from '../support/postgres.ts';
import { dumpSqlite } from '../support/replicas.ts';
import { ledgerSetting, nameFor, type Setting } from '../support/shop.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';

const schema = 'CREATE TABLE t (id bigint PRIMARY KEY, v text); CREATE TABLE bare (v text); ALTER TABLE bare REPLICA IDENTITY FULL; INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 100) n';
const tables = ['t', 'bare'];

/** Writes all the time, over the deaths of its server: what became of a commit that was cut off, the source itself tells at the end. */
class Writer {
  #stopping = false;
  readonly #done: Promise<void>;
  committed = 0;

  constructor(url: string) {
    this.#done = this.#run(url);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }

  async #run(url: string): Promise<void> {
    for (let n = 1; !this.#stopping; ) {
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => undefined);
      try {
        await client.connect();
        for (; !this.#stopping; n++) {
          await client.query(`BEGIN; INSERT INTO t VALUES (${1000 + n * 1000} + floor(random() * 1000), 'w'), (-${n}, 'w') ON CONFLICT DO NOTHING; INSERT INTO bare VALUES ('${n}'); UPDATE t SET v = v || '.' WHERE id = ${n % 100}; COMMIT`);
          this.committed++;
        }
      } catch {
        n++;
        await new Promise((resolve) => setTimeout(resolve, 20));
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  }
}

describe('a source that fails', () => {
  let server: EmbeddedPostgres;
  before(async () => {
    // Small WAL segments, so that a slot can be lost quickly; walsenders that give up quickly.
    server = await startEmbeddedPostgres({ initdbArgs: ['--wal-segsize=1'], settings: { wal_sender_timeout: '2s' } });
  });
  after(() => server.remove());

  /** A database of the server, with a daemon that reads it. */
  async function settingOf(t: TestContext, name: string, more: Parameters<typeof ledgerSetting>[1] = {}): Promise<Setting> {
    const url = await server.createDatabase(name);
    const source: TestDatabase = { name, url, sql: (text, params) => server.sql(text, params, name) };
    return ledgerSetting(t, { schema, source, ...more });
  }

  async function slotOf(setting: Setting): Promise<{ readonly walStatus: string; readonly pid: number | null }> {
    const [row] = await server.sql<{ wal_status: string; active_pid: number | null }>('SELECT wal_status, active_pid FROM pg_replication_slots WHERE slot_name = $1', [`tailrace_${nameFor(setting.source)}`]);
    return { walStatus: row?.wal_status ?? 'missing', pid: row?.active_pid ?? null };
  }

  async function dropSlot(setting: Setting): Promise<void> {
    await setting.daemon.kill();
    await server.sql('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active', [`tailrace_${nameFor(setting.source)}`]);
  }

  /** More is written than the server keeps for a slot whose reader does not come. */
  async function loseSlot(setting: Setting): Promise<void> {
    await server.sql(`ALTER SYSTEM SET max_slot_wal_keep_size = '4MB'`);
    await server.sql('SELECT pg_reload_conf()');
    await eventually(async () => {
      await setting.source.sql(`SELECT pg_logical_emit_message(false, 'x', repeat('y', 1000000)) FROM generate_series(1, 4)`);
      await server.sql('SELECT pg_switch_wal()');
      await server.sql('CHECKPOINT');
      return (await slotOf(setting)).walStatus === 'lost';
    }, { what: 'the slot to be lost', timeoutMs: 60_000 });
    await server.sql('ALTER SYSTEM RESET max_slot_wal_keep_size');
    await server.sql('SELECT pg_reload_conf()');
  }

  /** What the error says to do. */
  async function beginAnew(setting: Setting): Promise<void> {
    const { daemon } = setting;
    const dropped = await tailrace(['teardown', daemon.file, '--yes']);
    assert.equal(dropped.code, 0, dropped.err);
    daemon.start();
    assert.equal(await daemon.exited(), 4, 'a new slot begins later');
    await writeFile(daemon.file, `${await readFile(daemon.file, 'utf8')}on_gap: snapshot\n`);
    daemon.start();
    await daemon.streaming();
    await setting.equal(tables);
  }

  test('walsenders that are ended, a server that stops fast, crashes, is killed; a daemon that stood still: both replicas become equal', async (t) => {
    const setting = await settingOf(t, 'faults');
    const { daemon, source } = setting;
    // Before there is any server.
    await server.stop();
    daemon.start();
    await eventually(async () => (await daemon.status()).error?.code === 'source-unreachable', { what: 'the source to be missed' });
    const url = await daemon.url();
    assert.equal((await fetch(`${url}/readyz`)).status, 503);
    assert.equal((await fetch(`${url}/healthz`)).status, 200, 'nothing that a restart would mend');
    await server.start();
    await daemon.streaming();
    assert.equal((await fetch(`${url}/readyz`)).status, 200);
    const writer = new Writer(source.url);
    // What it wrote on after a failure would hide from the other tests that their server was set back.
    t.after(() => writer.stop());
    const someLoad = async (): Promise<void> => {
      const { committed } = writer;
      await eventually(() => writer.committed > committed + 30, { what: 'some load', timeoutMs: 60_000 });
    };
    const pids = new Set<number>();
    const reader = async (): Promise<number> => {
      const pid = await eventually(async () => (await slotOf(setting)).pid, { timeoutMs: 120_000 }).catch(async () => {
        throw new Error(`no walsender: ${JSON.stringify(await daemon.statuses().catch(String))}\n${daemon.output.slice(-5000)}`);
      });
      pids.add(pid);
      return pid;
    };
    for (let n = 0; n < 4; n++) {
      await server.sql('SELECT pg_terminate_backend($1)', [await reader()]);
      await someLoad();
    }
    for (const mode of ['fast', 'immediate', 'kill'] as const) {
      await reader();
      await someLoad();
      if (mode === 'kill') await server.kill9();
      else await server.stop(mode);
      await server.start();
    }
    // A laptop that is closed: the server gives up the connection of a process that stands still.
    const pid = await reader();
    process.kill(daemon.pid as number, 'SIGSTOP');
    await eventually(async () => (await slotOf(setting)).pid !== pid, { what: 'the server to give up the connection', timeoutMs: 60_000 });
    await someLoad();
    process.kill(daemon.pid as number, 'SIGCONT');
    await reader();
    await someLoad();
    await writer.stop();
    await setting.equal(tables);
    assert.ok(pids.size >= 8, `${pids.size} walsenders`);
    assert.equal((await daemon.status()).error, null);
    assert.equal(await daemon.stop(), 0);
    await dropSlot(setting);
  });

  test('a server that was put back to an older state is a gap', async (t) => {
    const setting = await settingOf(t, 'rewound');
    const { daemon, source } = setting;
    daemon.start();
    await daemon.streaming();
    await setting.equal(tables);
    await daemon.stop();
    await server.stop();
    const copy = join(await tempDirectory(t), 'copy');
    execFileSync('cp', ['-a', server.dataDirectory, copy]);
    await server.start();
    await source.sql(`INSERT INTO t SELECT n, 'after the copy was taken' FROM generate_series(1001, 3000) n`);
    daemon.start();
    await daemon.streaming();
    await setting.equal(tables);
    await daemon.stop();
    await server.stop();
    execFileSync('rm', ['-rf', server.dataDirectory]);
    execFileSync('cp', ['-a', copy, server.dataDirectory]);
    await server.start();
    daemon.start();
    assert.equal(await daemon.exited(), 4);
    assert.match(daemon.output, /the server was set back to an older state/);
    assert.match(daemon.output, /"code":"gap"/);
    await dropSlot(setting);
  });

  test('a slot that the server gave up is slot-lost with what to do, and what to do brings everything back, deleted rows included', async (t) => {
    const setting = await settingOf(t, 'lost');
    const { daemon, source } = setting;
    daemon.start();
    await daemon.streaming();
    await setting.equal(tables);
    await daemon.stop();
    await source.sql('DELETE FROM t WHERE id <= 50');
    await loseSlot(setting);
    daemon.start();
    assert.equal(await daemon.exited(), 4);
    assert.match(daemon.output, /"code":"slot-lost"/);
    assert.match(daemon.output, /max_slot_wal_keep_size/);
    assert.equal((await slotOf(setting)).walStatus, 'lost', 'it is not made anew in silence');
    await beginAnew(setting);
    await source.sql(`INSERT INTO bare VALUES ('and on')`);
    await setting.equal(tables);
    await daemon.stop();
    await dropSlot(setting);
  });

  test('P7: a slot that the server gave up while tables were being copied ends the copies with slot-lost at once, and they begin anew', async (t) => {
    const setting = await settingOf(t, 'lostcopying');
    const { daemon, source } = setting;
    daemon.start({ TAILRACE_FAILPOINT: 'snapshot.chunk_read:pause' });
    await eventually(() => execFileSync('ps', ['-o', 'state=', '-p', String(daemon.pid)], { encoding: 'utf8' }).startsWith('T'), { what: 'the daemon to stand still in the middle of a copy' });
    assert.doesNotMatch(daemon.output, /"table":"public.t",.*"msg":"a table is copied"/);
    await source.sql('DELETE FROM t WHERE id <= 50');
    await loseSlot(setting);
    daemon.signal('SIGCONT');
    assert.equal(await daemon.exited(), 4);
    assert.match(daemon.output, /"code":"slot-lost"/);
    daemon.start();
    assert.equal(await daemon.exited(), 4, 'nor does it go on with them');
    await beginAnew(setting);
    await daemon.stop();
    await dropSlot(setting);
  });

  test('a log that is gone while the slot is there begins anew, and a replica of the old one is a gap until it is forgotten', async (t) => {
    const setting = await settingOf(t, 'nolog');
    const { daemon, source, directory, replica, sqlite } = setting;
    daemon.start();
    await daemon.streaming();
    await setting.equal(tables);
    await daemon.stop();
    await source.sql('DELETE FROM t WHERE id = 7');
    await rm(join(directory, 'log'), { recursive: true });
    daemon.start();
    await daemon.streaming();
    const stopped = await eventually(async () => {
      const { sinks } = await daemon.status();
      return sinks.every(({ state }) => state === 'stopped') ? sinks : null;
    }, { what: 'both sinks to stop' });
    for (const { error } of stopped) assert.equal(error?.code, 'gap');
    assert.equal(dumpSqlite(sqlite, 't').length, 100, 'nothing was applied');
    await daemon.stop();
    for (const sink of ['reporting', 'local']) {
      const forgotten = await tailrace(['sinks', 'forget', sink, daemon.file, '--yes']);
      assert.equal(forgotten.code, 0, forgotten.err);
    }
    await replica.sql('DROP TABLE t, bare');
    for (const suffix of ['', '-wal', '-shm']) await rm(sqlite + suffix, { force: true });
    daemon.start();
    await daemon.streaming();
    await setting.equal(tables);
    await daemon.stop();
    await dropSlot(setting);
  });
});
