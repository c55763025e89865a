import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import type { TableDigests } from '../../../src/event/digest.ts';
import { PgConnection } from '../../../src/runtime/postgres/connection.ts';
import { PostgresTableDigests } from '../../../src/runtime/postgres/table-digests.ts';
import { formOf, storageOf, toPostgresText, toSqlite, type SqliteValue } from '../../../src/sink/sqlite/representation.ts';
import { SqliteTableDigests } from '../../../src/sink/sqlite/table-digests.ts';
import { freshDatabase, targetOf } from '../../support/postgres.ts';

/** Type, its oid, and texts that Postgres reads as values of it: forms that are written in more than one way before all. */
const types: readonly { readonly type: string; readonly oid: number; readonly values: fc.Arbitrary<string> }[] = [
  { type: 'bool', oid: 16, values: fc.constantFrom('t', 'f') },
  { type: 'int2', oid: 21, values: fc.integer({ min: -32768, max: 32767 }).map(String) },
  { type: 'int8', oid: 20, values: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String) },
  { type: 'numeric', oid: 1700, values: fc.constantFrom('0', '0.0', '-0.00', '1.10', '1.1', '1e300', '-1e-40', 'NaN', 'Infinity', '-Infinity', '123456789012345678901234567890.5') },
  { type: 'float8', oid: 701, values: fc.oneof(fc.double().map(String), fc.constantFrom('0', '-0', '1e15', '1e14', '1e-5', '1e-4', '1e300', '5e-324', 'NaN', 'Infinity', '-Infinity', '0.1')) },
  { type: 'float4', oid: 700, values: fc.oneof(fc.float().map(String), fc.constantFrom('0', '-0', '1e6', '999999', '1e-5', '1e38', '1.17549435e-38', 'NaN')) },
  { type: 'bytea', oid: 17, values: fc.uint8Array({ maxLength: 20 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`) },
  { type: 'text', oid: 25, values: textValues() },
  { type: 'varchar(40)', oid: 1043, values: textValues().map((text) => text.slice(0, 20)) },
  { type: 'char(4)', oid: 1042, values: fc.constantFrom('', 'a', 'a ', 'ab d', 'abcd') },
  { type: '"char"', oid: 18, values: fc.constantFrom('a', '', '{') },
  { type: 'timestamptz', oid: 1184, values: fc.constantFrom('2024-01-02 03:04:05+00', '2024-07-01 00:00:00.123456+02', 'infinity', '-infinity', '0044-03-15 00:00:00+00 BC') },
  { type: 'interval', oid: 1186, values: fc.constantFrom('1 day', '-1 mon +2 days', '1:02:03.4', '0') },
  { type: 'jsonb', oid: 3802, values: fc.json().filter((text) => !text.includes('\\u0000')) },
  { type: 'inet', oid: 869, values: fc.constantFrom('192.168.0.1', '192.168.0.1/24', '::1') },
  { type: 'xml', oid: 142, values: fc.constantFrom('<a/>', '<a>1</a><b/>', 'text') },
  { type: 'int4[]', oid: 1007, values: fc.constantFrom('{}', '{1,NULL,3}', '[2:3]={1,2}') },
  { type: 'text[]', oid: 1009, values: fc.constantFrom('{NULL,"NULL",""}', '{"a,b","c\\"d"}') },
];

function textValues(): fc.Arbitrary<string> {
  const parts = fc.constantFrom('', 'NULL', 'null', '-', ',', ':', '"', "'", '\\', '{', '}', '(', ')', ' ', '\t', '\n', '\u00a0', 'é', '漢', '🙂', '1:a', '\ufffd');
  return fc.oneof(fc.array(parts, { maxLength: 5 }).map((list) => list.join('')), fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')));
}

interface Sides {
  readonly source: TableDigests;
  readonly replica: TableDigests;
  /** Puts the row there as Postgres has it. */
  insert(values: readonly (string | null)[]): Promise<void>;
  readonly sqlite: DatabaseSync;
}

async function sides(t: TestContext, keyed: boolean): Promise<Sides> {
  const database = await freshDatabase(t);
  const connection = await PgConnection.open(targetOf(database.url), { applicationName: 'test' });
  t.after(() => connection.close());
  const columns = [{ type: 'int4', oid: 23 }, { type: 'text', oid: 25 }, ...types].map(({ type, oid }, i) => {
    const column = { name: i === 3 ? 'odd "name' : `c${i}`, attnum: i + 1, typeOid: oid, typmod: -1, type, baseTypeOid: oid, notNull: false };
    return { ...column, form: formOf(column), quoted: `"${column.name.replaceAll('"', '""')}"` };
  });
  const key = keyed ? ', PRIMARY KEY (c1, c0)' : '';
  await connection.query(`CREATE TABLE public.t (${columns.map(({ quoted, type }) => `${quoted} ${type}`).join(', ')}${key})`);
  const sqlite = new DatabaseSync(':memory:');
  t.after(() => sqlite.close());
  sqlite.exec(`CREATE TABLE t (${columns.map(({ quoted, form }) => `${quoted} ${storageOf(form)}`).join(', ')}${key}) STRICT`);
  const equals = 'OPERATOR(pg_catalog.=)';
  const source = new PostgresTableDigests((text, params) => connection.query(text, params), {
    from: 'ONLY public.t', filter: null, columns: columns.map(({ name }) => name), utf8: true,
    key: keyed ? [{ name: 'c1', type: 'text', equals }, { name: 'c0', type: 'int4', equals }] : [],
  });
  const replica = new SqliteTableDigests((use) => use(sqlite), { path: ':memory:', name: 't', columns, key: keyed ? [1, 0] : [] });
  const put = sqlite.prepare(`INSERT INTO t VALUES (${columns.map(() => '?').join(', ')})`);
  const insert = async (values: readonly (string | null)[]): Promise<void> => {
    const texts = columns.map(({ quoted }) => `CASE WHEN ${quoted} IS NOT NULL THEN concat(${quoted}) END`).join(', ');
    const sql = `INSERT INTO public.t VALUES (${columns.map(({ type }, i) => `$${i + 1}::text::${type}`).join(', ')}) RETURNING ARRAY[${texts}] AS texts`;
    const [row] = await connection.query<{ texts: (string | null)[] }>(sql, values);
    const stored = columns.map(({ form }, i): SqliteValue => {
      const text = row?.texts[i] ?? null;
      if (text === null) return null;
      const bytes = Buffer.from(text);
      const value = toSqlite(form, bytes, 0, bytes.length);
      assert.equal(toPostgresText(form, value), text);
      return value;
    });
    put.run(...stored);
  };
  return { source, replica, insert, sqlite };
}

const row = fc.tuple(...types.map(({ values }) => fc.option(values, { freq: 6 })));

for (const keyed of [true, false]) {
  const what = keyed ? 'with a key' : 'without a key';
  test(`rows ${what} of every type have the same hashes in Postgres and in SQLite`, async (t) => {
    const { source, replica, insert } = await sides(t, keyed);
    let id = 0;
    for (const values of fc.sample(row, { numRuns: 400, seed: keyed ? 1 : 2 })) {
      // Every third row twice, where nothing tells the two apart.
      const key = [String(keyed ? id : id % 3), `k${id++}"`];
      await insert([...key, ...values]);
      if (!keyed && id % 3 === 0) await insert([...key, ...values]);
    }
    const of = 16;
    const [ours, theirs] = [await source.buckets(of), await replica.buckets(of)];
    assert.deepEqual(ours, theirs);
    assert.equal(ours.counts.reduce((a, b) => a + b), keyed ? 400 : 533);
    const selection = { of, buckets: [1, 5, 11] };
    const rows = await source.rows(selection);
    assert.deepEqual(rows, await replica.rows(selection));
    assert.equal([...rows.values()].length > 20, true);
    const ids = [...rows.keys(), keyed ? '["nobody","7"]' : '00000000000000aa'];
    const looked = await source.look(ids);
    assert.equal(looked.size, ids.length - 1);
    assert.deepEqual(looked, await replica.look(ids));
  });
}

test('a changed value, a NULL for an empty text and a row too many are seen, each in the buckets of its hashes', async (t) => {
  const { source, replica, insert, sqlite } = await sides(t, true);
  for (let i = 0; i < 50; i++) await insert([String(i), `k${i}`, ...types.map(({ type }) => (type === 'text' ? '' : null))]);
  const [textColumn] = types.flatMap(({ type }, i) => (type === 'text' ? [`c${i + 2}`] : []));
  sqlite.exec(`UPDATE t SET ${textColumn} = NULL WHERE c0 = 7`);
  sqlite.exec(`INSERT INTO t (c0, c1) VALUES (50, 'more')`);
  const of = 256;
  const [ours, theirs] = [await source.buckets(of), await replica.buckets(of)];
  const differing = [...ours.counts.keys()].filter((i) => ours.counts[i] !== theirs.counts[i] || ours.sums[i] !== theirs.sums[i]);
  const [a, b] = [await source.rows({ of, buckets: differing }), await replica.rows({ of, buckets: differing })];
  const changed = [...new Set([...a.keys(), ...b.keys()])].filter((id) => a.get(id) !== b.get(id));
  assert.deepEqual(changed.toSorted(), ['["k7","7"]', '["more","50"]']);
  const [before, after] = [(await source.look(changed)).get('["k7","7"]') ?? '', (await replica.look(changed)).get('["k7","7"]') ?? ''];
  const place = types.findIndex(({ type }) => type === 'text') + 2;
  assert.deepEqual(before.split(',').flatMap((hash, i) => (hash === after.split(',')[i] ? [] : [i])), [place]);
});

test('a key that is no value of the key column finds no row, and does not hide the others', async (t) => {
  const { source, replica, insert } = await sides(t, true);
  await insert(['7', 'seven', ...types.map(() => null)]);
  const ids = ['["x","99999999999999999999"]', '["seven","7"]', '["seven","seven"]'];
  assert.deepEqual([...(await source.look(ids)).keys()], ['["seven","7"]']);
  assert.deepEqual([...(await replica.look(ids)).keys()], ['["seven","7"]']);
});
