import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import type { PipelineVerification, SinkVerification, TableReport } from '../../src/app/verify.ts';
import { tailrace } from '../support/daemon.ts';
import { ledgerSetting, type Setting } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';
import { Ledger } from '../support/workload.ts';

interface Verified {
  readonly code: number | null;
  readonly sinks: readonly SinkVerification[];
  readonly err: string;
}

async function verify(setting: Setting, ...args: readonly string[]): Promise<Verified> {
  const { code, out, err } = await tailrace(['verify', setting.daemon.file, '--json', ...args]);
  const results = out === '' ? [] : (JSON.parse(out) as PipelineVerification[]);
  return { code, err: err + JSON.stringify(results[0]?.error ?? ''), sinks: results[0]?.sinks ?? [] };
}

function tableOf({ sinks }: Verified, sink: string, table: string): TableReport {
  const found = sinks.find((each) => each.sink === sink)?.tables.find((each) => each.table === table);
  assert.ok(found, `${sink} ${table} in ${JSON.stringify(sinks)}`);
  return found;
}

function atSqlite(setting: Setting, sql: string): void {
  const database = new DatabaseSync(setting.sqlite, { timeout: 5000 });
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}

/** Twins among them; `keyed` has a column of most kinds. */
const bigSchema = `
  CREATE TABLE keyed (id int PRIMARY KEY, total numeric(12,2), note text, raw bytea, at timestamptz, ok bool, f float8);
  INSERT INTO keyed SELECT n, n / 7.0, nullif('note ' || n, 'note 7'), decode(md5(n::text), 'hex'), '2024-01-01'::timestamptz + n * interval '1 s', n % 3 = 0, n / 3.0
    FROM generate_series(1, 100000) n;
  CREATE TABLE pairs (a text, b int, c text, PRIMARY KEY (a, b));
  INSERT INTO pairs SELECT 'k' || n % 10, n, 'c' FROM generate_series(1, 1000) n;
  CREATE TABLE keyless (w int, s int);
  ALTER TABLE keyless REPLICA IDENTITY FULL;
  INSERT INTO keyless SELECT n % 100, n % 7 FROM generate_series(1, 20000) n;
  CREATE TABLE nothing (id int PRIMARY KEY, x text);
`;

describe('tailrace verify', () => {
  test('finds every row that was changed, removed or added by hand among 100,000, in each kind of replica, and no other', async (t) => {
    const setting = await ledgerSetting(t, { schema: bigSchema });
    setting.daemon.start();
    await setting.daemon.streaming();
    await setting.equal(['pairs', 'keyless']);
    const clean = await verify(setting);
    assert.equal(clean.code, 0, JSON.stringify(clean));
    assert.deepEqual(clean.sinks.flatMap(({ tables }) => tables.map(({ table, state, rows }) => [table, state, rows])), [
      ['public.keyed', 'equal', 100_000], ['public.keyless', 'equal', 20_000], ['public.nothing', 'equal', 0], ['public.pairs', 'equal', 1000],
      ['public.keyed', 'equal', 100_000], ['public.keyless', 'equal', 20_000], ['public.nothing', 'equal', 0], ['public.pairs', 'equal', 1000],
    ]);

    const damage = `
      UPDATE keyed SET total = '1.23', note = NULL WHERE id = 4711;
      DELETE FROM keyed WHERE id = 99999;
      INSERT INTO keyed (id, note) VALUES (-5, 'not from the source');
      UPDATE pairs SET c = '' WHERE a = 'k3' AND b = 33;
    `;
    await setting.replica.sql(`${damage} DELETE FROM keyless WHERE ctid = (SELECT min(ctid) FROM keyless WHERE w = 5 AND s = 5)`);
    atSqlite(setting, `${damage} DELETE FROM keyless WHERE rowid = (SELECT min(rowid) FROM keyless WHERE w = 5 AND s = 5)`);
    const found = await verify(setting);
    assert.equal(found.code, 4);
    for (const sink of ['reporting', 'local']) {
      const keyed = tableOf(found, sink, 'public.keyed');
      assert.equal(keyed.state, 'different');
      assert.deepEqual(
        keyed.differences.map(({ kind, key, columns }) => ({ kind, id: key?.['id'], columns })).toSorted((a, b) => Number(a.id) - Number(b.id)),
        [{ kind: 'extra', id: '-5', columns: [] }, { kind: 'changed', id: '4711', columns: ['total', 'note'] }, { kind: 'missing', id: '99999', columns: [] }],
      );
      const pairs = tableOf(found, sink, 'public.pairs');
      assert.deepEqual(pairs.differences.map(({ kind, key, columns }) => ({ kind, key, columns })), [{ kind: 'changed', key: { a: 'k3', b: '33' }, columns: ['c'] }]);
      const [twins, ...rest] = tableOf(found, sink, 'public.keyless').differences;
      assert.equal(rest.length, 0);
      assert.equal((twins?.source ?? 0) - (twins?.replica ?? 0), 1);
      assert.ok((twins?.replica ?? 0) > 1);
      assert.equal(tableOf(found, sink, 'public.nothing').state, 'equal');
    }
    // One sink, one table; and nothing of a value is told.
    const { code, out } = await tailrace(['verify', setting.daemon.file, '--sink', 'local', '--table', 'public.keyed']);
    assert.equal(code, 4);
    assert.match(out, /DIFFERS {3}public\.keyed {2}3 rows of 100,000/);
    assert.match(out, /id=4711 differs in total, note/);
    assert.match(out, /id=99999 is missing in the replica/);
    assert.match(out, /id=-5 is in the replica alone/);
    assert.doesNotMatch(out, /reporting|pairs|not from|1\.23/);
  });

  test('raises no false alarm while rows change all the time and the replicas run behind, and still finds what differs', async (t) => {
    const setting = await ledgerSetting(t);
    setting.daemon.start();
    await setting.daemon.streaming();
    const ledger = new Ledger(setting.source.url, 5);
    const hot = heat(setting);
    for (let round = 0; round < 3 || ledger.committed <= 500; round++) {
      const { code, sinks, err } = await verify(setting);
      assert.equal(code, 0, JSON.stringify({ round, sinks, err }));
      assert.equal(sinks.flatMap(({ tables }) => tables).length, 8);
    }
    await setting.replica.sql('DELETE FROM ledger WHERE w = 0 AND s = 1234');
    atSqlite(setting, `UPDATE wide SET big = 'bent' WHERE id = 100`);
    const found = await verify(setting);
    await hot.stop();
    await ledger.stop();
    assert.equal(found.code, 4, JSON.stringify(found));
    assert.deepEqual(tableOf(found, 'reporting', 'public.ledger').differences.map(({ kind }) => kind), ['missing']);
    const differing = found.sinks.flatMap(({ sink, tables }) => tables.filter(({ state }) => state !== 'equal').map(({ table }) => `${sink} ${table}`));
    assert.deepEqual(differing.filter((name) => name !== 'local public.wide'), ['reporting public.ledger']);
    await setting.equal(['acct', 'nopk']);
  });

  test('says that nothing can be confirmed when no daemon runs, and is sure of what is equal all the same', async (t) => {
    const setting = await ledgerSetting(t);
    setting.daemon.start();
    await setting.daemon.streaming();
    await setting.equal();
    assert.equal(await setting.daemon.stop(), 0);
    assert.equal((await verify(setting)).code, 0);
    await setting.source.sql('UPDATE acct SET bal = bal + 1 WHERE id = 7');
    // Each waits for the sinks to move, in vain.
    const [{ code, sinks }, { out }] = await Promise.all([verify(setting), tailrace(['verify', setting.daemon.file])]);
    assert.equal(code, 3);
    for (const { tables, standstill } of sinks) {
      assert.equal(standstill?.reason, 'not-running');
      assert.deepEqual(tables.map(({ table, state, unconfirmed }) => [table, state, unconfirmed]), [
        ['public.acct', 'unconfirmed', 1], ['public.ledger', 'equal', 0], ['public.nopk', 'equal', 0], ['public.wide', 'equal', 0],
      ]);
    }
    assert.match(out, /open {6}public\.acct {2}1 row differs/);
    assert.match(out, /no daemon runs this pipeline, so local does not move; it stands at [0-9A-F/]+, .* of WAL behind/);
  });

  test('compares what the sinks are asked for: their tables, names and columns; and says when a table or a column is missing', async (t) => {
    const setting = await ledgerSetting(t, {
      schema: `
        CREATE SCHEMA app;
        CREATE TABLE people (id int PRIMARY KEY, name text, secret text);
        CREATE TABLE skipped (id int PRIMARY KEY);
        CREATE TABLE app.things (id int PRIMARY KEY, x int[]);
        INSERT INTO people SELECT n, 'n' || n, md5(n::text) FROM generate_series(1, 300) n;
        INSERT INTO skipped VALUES (1);
        INSERT INTO app.things SELECT n, ARRAY[n, NULL] FROM generate_series(1, 300) n`,
    });
    const reporting = `    schema: copies
    rename: { public.people: persons }
    columns: { public.people: { exclude: [secret] } }
    tables: { exclude: [public.skipped] }
`;
    const yaml = (await readFile(setting.daemon.file, 'utf8')).replace('include: [public.*]', 'include: ["*.*"]').replace('  - name: local', `${reporting}  - name: local`);
    await writeFile(setting.daemon.file, `${yaml}    rename: { app.things: stuff }\n    columns: { public.people: { exclude: [name] } }\n`);
    setting.daemon.start();
    await setting.daemon.streaming();
    await eventually(async () => (await verify(setting)).code === 0, { what: 'equal replicas', timeoutMs: 60_000 });
    const clean = await verify(setting);
    assert.deepEqual(clean.sinks.map(({ tables }) => tables.map(({ table, rows }) => [table, rows])), [
      [['app.things', 300], ['public.people', 300]],
      [['app.things', 300], ['public.people', 300], ['public.skipped', 1]],
    ]);
    await setting.replica.sql('UPDATE copies.persons SET name = NULL WHERE id = 5; DROP TABLE copies.things');
    atSqlite(setting, 'UPDATE stuff SET x = replace(x, \'7\', \'8\') WHERE id = 7; ALTER TABLE people DROP COLUMN secret');
    const found = await verify(setting);
    assert.equal(found.code, 4);
    assert.deepEqual(tableOf(found, 'reporting', 'public.people').differences.map(({ key, columns }) => [key?.['id'], columns]), [['5', ['name']]]);
    assert.equal(tableOf(found, 'reporting', 'app.things').tableMissing, true);
    assert.deepEqual(tableOf(found, 'local', 'app.things').differences.map(({ key, columns }) => [key?.['id'], columns]), [['7', ['x']]]);
    assert.deepEqual(tableOf(found, 'local', 'public.people').columnsMissing, ['secret']);
    assert.equal(tableOf(found, 'local', 'public.skipped').state, 'equal');
  });
});

/** Rows that never rest: a counter, a row that comes and goes, twins that do. */
function heat(setting: Setting): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const run = async (): Promise<void> => {
    const statements = [
      "UPDATE wide SET small = small + 1 WHERE id = 1; INSERT INTO wide VALUES (-1, 0, 'flicker'); INSERT INTO nopk VALUES (-1, -1), (-1, -1)",
      'UPDATE wide SET small = small + 1 WHERE id = 1; DELETE FROM wide WHERE id = -1; DELETE FROM nopk WHERE w = -1',
    ];
    for (let i = 0; !stopping.signal.aborted; i = 1 - i) await setting.source.sql(statements[i] as string);
  };
  const running = run();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
