import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Column, TableSchema } from '../../../src/event/table.ts';
import { typeDefinition } from '../../../src/runtime/postgres/type-definition.ts';
import { apply, changes, insert, positionAt, update } from '../../contract/sink-samples.ts';
import { openSession } from '../../contract/sink.ts';
import type { TestDatabase } from '../../support/postgres.ts';
import { emptyDatabase, rowsOf, sinkOf } from './harness.ts';

/** The table as a source would describe it: types qualified as under a search path of pg_catalog alone. */
async function shapeOf(database: TestDatabase, schema: string, name: string): Promise<TableSchema> {
  const columns = await database.sql<Column & { readonly definition: string | null }>(
    `SET search_path = pg_catalog; SELECT a.attname AS name, a.attnum::int AS attnum, a.atttypid::int AS "typeOid", a.atttypmod AS typmod,
       format_type(a.atttypid, a.atttypmod) AS type, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END::int AS "baseTypeOid", a.attnotnull AS "notNull", ${typeDefinition('a.atttypid')} AS definition
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = '"${schema}"."${name}"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
  );
  const described = columns.map((column): Column => ({ ...column, definition: column.definition ?? undefined }));
  return { relid: 4242, schema: 'public', name, columns: described, key: [0], replicaIdentity: 'default', version: { epoch: 1, number: 1 } };
}

const everyType = `
  id int PRIMARY KEY, i2 int2, i8 int8, o oid, r float4, d float8, n numeric, n2 numeric(10,2), nn numeric(5,-2), m money, b bool,
  bi bit(3), vb bit varying, ch "char", na name, c5 char(5), vc varchar(20), t text, by bytea, da date, ti time(3), tz timetz, ts timestamp,
  tst timestamptz(6), iv interval, js json, jb jsonb, ia int[], ta text[], ra int4range, rm nummultirange, u uuid, x xml, ip inet, ci cidr,
  ma macaddr, po point, bx box, pa path, ti2 tid, lsn pg_lsn, tv tsvector, tq tsquery, jp jsonpath, ya timestamptz[], i2v int2vector`;

const values: readonly string[] = [
  `1, -32768, 9223372036854775807, 4294967295, '1e-45', '5e-324', '123456789012345678901234567890.000', 1.10, 12300, -1234567.89, true,
   B'101', B'', 'x', 'name', 'ab', 'varchar', E'tab\\t newline\\n back\\\\slash \\r \\\\N', '\\x00ff5c0a', '4713-01-01 BC', '24:00:00', '23:59:59.123456+15:59', '294276-12-31 23:59:59.999999',
   'infinity', '-1 years +2 days -03:04:05.678', '{"b":1, "b" :2, "a":1e400}', '{"n":12345678901234567890.0100}', '[0:1]={1,NULL}', ARRAY['a"b', '', NULL, 'NULL', '{,}'], '[1,10)', '{[1.5,2],[3,)}',
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '<a>x</a>text', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '(1e300,-0)', '((0,0),(Infinity,NaN))', '[(1,2),(3,4)]', '(7,8)', '16/B374D848',
   'a:1 b:2A', '''fat'' & !''cat''', '$."a"[*] ? (@ > 1)', ARRAY['infinity'::timestamptz, '0001-01-01 00:00:00+00 BC'], '1 2 3'`,
  `2, 0, -9223372036854775808, 0, 'NaN', '-Infinity', 'NaN', 0.00, 0, 0, false,
   B'000', B'1', '', '', '', '', '', '', 'infinity', '00:00', '00:00+00', '-infinity', '0099-03-01 12:00:00+00', 'P0D', 'null', 'null', '{}', '{}', 'empty', '{}',
   '00000000-0000-0000-0000-000000000000', '', '0.0.0.0', '::/0', '00:00:00:00:00:00', '(NaN,0)', '(0,0),(0,0)', '((1,2))', '(0,1)', '0/0', '', '', '$', '{}', ''`,
  `3${', NULL'.repeat(45)}`,
];

const odd = [
  'array_nulls = off', "DateStyle = 'SQL, DMY'", "IntervalStyle = 'sql_standard'", "bytea_output = 'escape'", 'extra_float_digits = -15', "TimeZone = 'America/St_Johns'", "xmloption = 'document'",
  'quote_all_identifiers = on', "default_transaction_isolation = 'serializable'",
];

test('every type arrives with the text that it has at the source, by COPY, by staging and by single statements', async (t) => {
  const database = await emptyDatabase();
  await database.sql(`CREATE SCHEMA src; CREATE TABLE src.many (${everyType})`);
  for (const row of values) await database.sql(`INSERT INTO src.many VALUES (${row})`);
  const table = await shapeOf(database, 'src', 'many');
  const source = await rowsOf(database, { ...table, schema: 'src' });
  assert.equal(source.length, values.length);
  // What the database and the role are set to bends nothing.
  for (const setting of odd) await database.sql(`ALTER DATABASE "${database.name}" SET ${setting}; ALTER ROLE postgres IN DATABASE "${database.name}" SET ${setting}`);
  const session = await openSession(t, sinkOf(database));
  await database.sql(`ALTER DATABASE "${database.name}" RESET ALL; ALTER ROLE postgres IN DATABASE "${database.name}" RESET ALL`);
  const numbered = (from: number, count: number): (string | null)[][] =>
    Array.from({ length: count }, (_, i) => [String(from + i), ...(source[i % source.length] as (string | null)[]).slice(1)]);
  await apply(session, positionAt(1), changes(table, numbered(0, 3).map((row) => insert(table, row))));
  await apply(session, positionAt(2), changes(table, numbered(3, 90).map((row) => insert(table, row))));
  await apply(session, positionAt(3), changes(table, numbered(93, 90).map((row) => update(table, row))));
  const expected = new Set(source.map((row) => JSON.stringify(row.slice(1))));
  const found = await rowsOf(database, table);
  assert.equal(found.length, 183);
  for (const row of found) assert.ok(expected.has(JSON.stringify(row.slice(1))), JSON.stringify(row));
  const types = (schema: string): Promise<{ type: string }[]> =>
    database.sql(`SELECT format_type(atttypid, atttypmod) AS type FROM pg_attribute WHERE attrelid = '${schema}.many'::regclass AND attnum > 0 ORDER BY attnum`);
  assert.deepEqual(await types('public'), await types('src'));
});

test('a type that the replica does not have is text; a domain is the type under it; names of objects are text', async (t) => {
  const database = await emptyDatabase();
  await database.sql(`CREATE SCHEMA src; CREATE TYPE src.mood AS ENUM ('sad', 'ok'); CREATE DOMAIN src.price AS numeric CHECK (VALUE > 0);
    CREATE TYPE src.pair AS (a int, b text); CREATE TABLE src.odd (id int PRIMARY KEY, m src.mood, p src.price, c src.pair, ms src.mood[], rc regclass, rt regtype[]);
    INSERT INTO src.odd VALUES (1, 'ok', 1.50, '(1,"a b")', '{sad,ok}', 'src.odd', '{integer}')`);
  const table = await shapeOf(database, 'src', 'odd');
  const source = await rowsOf(database, { ...table, schema: 'src' });
  await database.sql('DROP SCHEMA src CASCADE');
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, source.map((row) => insert(table, row))));
  assert.deepEqual(await rowsOf(database, table), source);
  const types = await database.sql<{ type: string }>("SELECT format_type(atttypid, atttypmod) AS type FROM pg_attribute WHERE attrelid = 'public.odd'::regclass AND attnum > 0 ORDER BY attnum");
  assert.deepEqual(types.map((row) => row.type), ['integer', 'text', 'numeric', 'text', 'text', 'text', 'text']);
});

test('a type of the replica that has the name but is made of something else would bend values, and is not used', async (t) => {
  const database = await emptyDatabase();
  const make = (deep: string, shallow: string): string => `CREATE SCHEMA src; CREATE TYPE src.reading AS (at int, value ${deep}); CREATE TYPE src.doubles AS (r src.reading[]);
    CREATE DOMAIN src.code AS ${shallow}; CREATE DOMAIN src.codes AS src.code[]; CREATE TYPE src.span AS RANGE (subtype = ${deep}); CREATE TYPE src.same AS (a int)`;
  await database.sql(`${make('float8', 'varchar(5)')};
    CREATE TABLE src.bent (id int PRIMARY KEY, r src.reading, b src.doubles, rs src.reading[], c src.code, cs src.codes, s src.span, m src.span_multirange, ok src.same);
    INSERT INTO src.bent VALUES (1, '(1,0.1234567890123456)', '("{""(1,0.1234567890123456)""}")', '{"(1,0.1234567890123456)"}', 'ab', '{ab}', '[0.1234567890123456,1)', '{[0.1234567890123456,1)}', '(1)')`);
  const table = await shapeOf(database, 'src', 'bent');
  assert.equal(table.columns[2]?.definition, 'src.doubles (r src.reading[]); src.reading (at integer, value double precision); src.reading[] base');
  const source = await rowsOf(database, { ...table, schema: 'src' });
  // The same names once more, with half the digits, and with blanks behind what is short.
  await database.sql(`DROP SCHEMA src CASCADE; ${make('float4', 'char(5)')}`);
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, source.map((row) => insert(table, row))));
  assert.deepEqual(await rowsOf(database, table), source);
  const types = await database.sql<{ type: string }>("SELECT format_type(atttypid, atttypmod) AS type FROM pg_attribute WHERE attrelid = 'public.bent'::regclass AND attnum > 0 ORDER BY attnum");
  assert.deepEqual(types.map((row) => row.type), ['integer', 'text', 'text', 'text', 'character varying', 'text', 'text', 'text', 'src.same']);
});

test('types that the replica has are used, as key too, and found again by the equality of their index', async (t) => {
  const database = await emptyDatabase();
  await database.sql(`CREATE SCHEMA ext; CREATE TYPE ext.mood AS ENUM ('sad', 'ok', 'glad'); CREATE TYPE ext.pair AS (a int, b text); CREATE DOMAIN ext.code AS char(3);
    CREATE TABLE ext.keyed (m ext.mood, p ext.pair, d ext.code, r int4range, n numeric, c char(4), v text, PRIMARY KEY (m, p, d, r, n, c))`);
  const shape = await shapeOf(database, 'ext', 'keyed');
  const table = { ...shape, key: [0, 1, 2, 3, 4, 5] };
  const session = await openSession(t, sinkOf(database));
  const row = (n: number, value: string | undefined): (string | undefined)[] => ['ok', `(${n},"a, b")`, 'x  ', '[1,5)', `${n}.0`, 'ab  ', value];
  let lsn = 1;
  for (const count of [1, 100]) {
    const all = Array.from({ length: count }, (_, i) => i);
    await apply(session, positionAt(lsn++), changes(table, all.map((n) => insert(table, row(n, 'old')))));
    await apply(session, positionAt(lsn++), changes(table, all.map((n) => update(table, row(n, 'new')))));
    await apply(session, positionAt(lsn++), changes(table, all.map((n) => update(table, row(n, undefined)))));
    const rows = await rowsOf(database, table);
    assert.equal(rows.length, count);
    assert.deepEqual(rows.find((one) => one[4] === '0.0'), ['ok', '(0,"a, b")', 'x', '[1,5)', '0.0', 'ab', 'new']);
  }
});
