import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tupleTexts } from '../../../src/event/tuple.ts';
import type { Query } from '../../../src/runtime/postgres/connection.ts';
import { wasMadeThere } from '../../../src/source/postgres/row-age.ts';
import { startPostgres, type PostgresVersion } from '../../support/postgres.ts';
import { there } from '../../support/there.ts';
import { eventually } from '../../support/wait.ts';
import { connected, sourceOn, Tail } from './support.ts';

const versions: readonly PostgresVersion[] = ['14', '15', '16', '17', '18'];
const installed = (version: PostgresVersion): boolean => version === '18' || existsSync(fileURLToPath(new URL(`../../../node_modules/postgres-${version}`, import.meta.url)));

for (const version of versions) {
  test(`PostgreSQL ${version}: checked, copied, streamed, followed, acknowledged, torn down`, { skip: installed(version) ? false : 'not installed' }, async (t) => {
    const server = await startPostgres({ version }, t);
    const url = await server.createDatabase('shop');
    const sql = (text: string): Promise<Record<string, unknown>[]> => server.sql(text, [], 'shop');
    await sql(`CREATE TABLE a (id int PRIMARY KEY, v text, twice int GENERATED ALWAYS AS (id * 2) STORED); INSERT INTO a VALUES (1, 'old'), (2, NULL);
      CREATE TABLE p (id int, PRIMARY KEY (id)) PARTITION BY HASH (id); CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 1, REMAINDER 0);
      CREATE TABLE plain (v text); ALTER TABLE plain REPLICA IDENTITY FULL`);
    const source = sourceOn(url, { pipeline: 'versions' });
    const { findings, tables } = await source.check();
    assert.deepEqual(findings.map((finding) => finding.check), ['wal-kept']);
    assert.deepEqual(tables.map((table) => table.name), ['a', 'p', 'plain']);

    const session = await source.connect({ signal: AbortSignal.timeout(60_000) });
    const tail = new Tail(session);
    const [a] = session.tables;
    assert.ok(a !== undefined);
    // From 18 on a stored generated column can be sent, and is.
    const twice = (id: number): readonly string[] => (version === '18' ? [String(2 * id)] : []);
    assert.deepEqual(a.columns.map((column) => column.name), ['id', 'v', ...(version === '18' ? ['twice'] : [])]);
    const signal = AbortSignal.timeout(60_000);
    await session.snapshots.entered(a, { signal, onWait: () => {} });
    const chunk = there(await session.snapshots.chunk({ table: a, low: 'low', high: 'high', after: null, keys: null, maxRows: 10, maxBytes: 1 << 20, signal }));
    assert.equal(chunk.shape, a);
    assert.deepEqual([0, 1].map((i) => tupleTexts(chunk.rows.bytes, chunk.rows.starts[i] as number)), [['1', 'old', ...twice(1)], ['2', null, ...twice(2)]]);
    await sql("BEGIN; INSERT INTO a VALUES (3, 'x'); INSERT INTO p VALUES (7); UPDATE plain SET v = ''; INSERT INTO plain VALUES ('y'); DELETE FROM plain; TRUNCATE p; COMMIT");
    await sql("ALTER TABLE a ADD COLUMN w int DEFAULT 5; INSERT INTO a VALUES (4, 'z')");
    const added = `c 0 public.a: ${['4', 'z', ...twice(4), '5'].join(' ')}`;
    const last = (): boolean => tail.rows.includes(added);
    await eventually(() => last() && tail.commits().length >= 4, { what: tail.rows.join('\n') });
    assert.deepEqual(tail.rows.filter((row) => !row.startsWith('m')), [
      `c 0 public.a: ${['3', 'x', ...twice(3)].join(' ')}`, 'c 1 public.p: 7', 'c 2 public.plain: y', 'd 3 public.plain: [full y]', 't 4 public.p', added,
    ]);
    const [leaf] = await sql("SELECT 'p0'::regclass::oid::int8::int AS oid");
    assert.deepEqual(tail.items.filter((item) => item.op === 'partition').map(({ table, partition }) => [table.name, partition]), [['p', String(leaf?.['oid'])]]);
    const end = tail.commits().at(-1)?.endLsn ?? 0n;
    session.acknowledge(end);
    assert.ok((await session.health()).walHeldBytes >= 0);
    await session.close();

    const again = await connected(source, t);
    assert.equal(again.server.confirmedFlush, end);
    assert.equal(again.server.slotCreated, false);
    await again.close();
    assert.deepEqual(await source.teardown(), ['replication slot tailrace_versions', 'publication tailrace_versions']);
  });
}

/** What makes a partition called `x`, and whether all of its rows have come as the table's. */
const made: readonly (readonly [string, boolean])[] = [
  ['CREATE TABLE x PARTITION OF t FOR VALUES FROM (0) TO (10)', true],
  ["BEGIN; CREATE TABLE other (); CREATE TABLE x PARTITION OF t (m DEFAULT 'b', v NOT NULL, CHECK (id > 0), UNIQUE (id, v)) FOR VALUES FROM (0) TO (10); COMMIT", true],
  ['CREATE TABLE y PARTITION OF t FOR VALUES FROM (0) TO (100) PARTITION BY LIST (id); CREATE TABLE x PARTITION OF y DEFAULT', true],
  ['CREATE TABLE x (LIKE t INCLUDING ALL); ALTER TABLE t ATTACH PARTITION x DEFAULT', false],
  ['BEGIN; CREATE TABLE x (id int NOT NULL, v text, m mood); ALTER TABLE t ATTACH PARTITION x DEFAULT; COMMIT', false],
  ["BEGIN; CREATE TABLE x (gone int, m mood, v text, id int NOT NULL); ALTER TABLE x DROP gone; SAVEPOINT s; INSERT INTO x (id) VALUES (1); RELEASE s; ALTER TABLE t ATTACH PARTITION x DEFAULT; COMMIT", false],
  ['CREATE TABLE y (LIKE t INCLUDING ALL) PARTITION BY LIST (id); CREATE TABLE x PARTITION OF y DEFAULT; ALTER TABLE t ATTACH PARTITION y DEFAULT', false],
  ['CREATE TABLE x PARTITION OF t DEFAULT; ALTER TABLE t DETACH PARTITION x; ALTER TABLE t ATTACH PARTITION x DEFAULT', false],
  ['BEGIN; CREATE TABLE x PARTITION OF t DEFAULT; ALTER TABLE t DETACH PARTITION x; ALTER TABLE t ATTACH PARTITION x DEFAULT; COMMIT', false],
];

for (const version of versions) {
  test(`PostgreSQL ${version}: a partition that was made as one is told from one that was attached`, { skip: installed(version) ? false : 'not installed' }, async (t) => {
    const server = await startPostgres({ version }, t);
    await server.createDatabase('shop');
    const sql: Query = (text, params) => server.sql(text, params, 'shop');
    await sql("CREATE TYPE mood AS ENUM ('a', 'b')");
    for (const [statements, expected] of made) {
      await sql("CREATE TABLE t (id int NOT NULL DEFAULT 1, v text DEFAULT 'x', m mood DEFAULT 'a') PARTITION BY RANGE (id)");
      // One message would be one transaction.
      if (statements.startsWith('BEGIN')) await sql(statements);
      else for (const statement of statements.split('; ')) await sql(statement);
      const [row] = await sql<{ x: string; t: number }>("SELECT 'x'::regclass::oid::text AS x, 't'::regclass::oid::int8::int AS t");
      assert.equal(await wasMadeThere(sql, row?.x ?? '', row?.t ?? 0), expected, statements);
      await sql('DROP TABLE t; DROP TABLE IF EXISTS other');
    }
  });
}
