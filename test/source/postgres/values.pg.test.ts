import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { tupleTexts } from '../../../src/event/tuple.ts';
import { parseConnectionUrl } from '../../../src/runtime/postgres/connection-url.ts';
import { PgConnection } from '../../../src/runtime/postgres/connection.ts';
import { freshDatabase, startPostgres } from '../../support/postgres.ts';
import { tempDirectory } from '../../support/temp.ts';
import { there } from '../../support/there.ts';
import { eventually } from '../../support/wait.ts';
import { connected, sourceOn, Tail } from './support.ts';

/** Columns of a wide table, each with values at its edges; all are written as Postgres reads them. */
const columns: readonly (readonly [type: string, values: readonly string[]])[] = [
  ['int2', ['-32768', '32767']],
  ['int8', ['-9223372036854775808', '9223372036854775807']],
  ['oid', ['4294967295', '0']],
  ['float4', ['NaN', '-Infinity', '-0', '1e-45', '3.4028235e38', '0.1']],
  ['float8', ['Infinity', '5e-324', '1.7976931348623157e308', '0.1', '-0']],
  ['numeric', ['NaN', 'Infinity', '-Infinity', '0.00', `1${'0'.repeat(1000)}.${'0'.repeat(999)}1`, '1e-16383']],
  ['numeric(10,2)', ['0.00', '-99999999.99']],
  ['money', ['-1234567.89', '92233720368547758.07']],
  ['bool', ['t', 'f']],
  ['bit(3)', ['101']],
  ['varbit', ['', '1010101']],
  ['"char"', ['a', '']],
  ['name', ['select']],
  ['char(5)', ['ab', '']],
  ['varchar(10)', ['é🙂', '']],
  ['text', ['', '\\N', 'NULL', "quote ' \" \\ back", 'tab\tnewline\nreturn\r\b\f\v', '\u{10ffff}', 'e\u0301', '{}']],
  ['bytea', ['\\x', '\\x00ff5c0a0927']],
  ['date', ['infinity', '-infinity', '4714-11-24 BC', '5874897-12-31', '0001-01-01']],
  ['time', ['24:00:00', '00:00:00.000001']],
  ['timetz', ['24:00:00-15:59', '00:00:00+00:53:28']],
  ['timestamp', ['infinity', '4714-11-24 00:00:00 BC', '294276-12-31 23:59:59.999999', '1582-10-10']],
  ['timestamptz', ['-infinity', '1900-01-01 00:00:00+00', '2024-10-27 01:30:00+00', '294276-12-31 23:59:59.999999+00']],
  ['interval', ['1 mon -1 days +02:03:04.000005', '-178000000 years', '0']],
  ['json', ['{"b":1, "a":1,"a":2}', '1e400', '"\\u0000"', 'null', '12345678901234567890']],
  ['jsonb', ['{"b":1,"a":[1.0,1e3]}', 'null', '"__proto__"']],
  ['int[]', ['{}', '[0:2]={1,NULL,3}', '{{1,2},{3,4}}']],
  ['text[]', ['{"",NULL,"NULL","a,b","\\"","\\\\","{}"}']],
  ['mood[]', ['{"so so",happy}']],
  ['mood', ['so so', 'happy']],
  ['pair', ['(1,"a,b")', '(,)', '(1,"\\"")']],
  ['positive', ['1']],
  ['int4range', ['empty', '(,)', '[1,5)']],
  ['tstzrange', ['["2024-01-01 00:00:00+00",infinity]']],
  ['nummultirange', ['{[1.5,2),[3,)}', '{}']],
  ['uuid', ['00000000-0000-0000-0000-000000000000']],
  ['xml', ['<a>&amp;</a>']],
  ['inet', ['::1/64', '192.168.0.1']],
  ['cidr', ['10.0.0.0/8']],
  ['macaddr8', ['08:00:2b:01:02:03:04:05']],
  ['point', ['(Infinity,NaN)', '(-0,1e-300)']],
  ['circle', ['<(1,2),3>']],
  ['tsvector', ["'a':1A 'b c':2"]],
  ['tsquery', ["'a' & !'b'"]],
  ['pg_lsn', ['FFFFFFFF/FFFFFFFF']],
  ['xid8', ['18446744073709551615']],
  ['tid', ['(4294967295,65535)']],
  ['regclass', ['pg_class', 'odd."Table"']],
  ['regtype', ['mood', 'int4[]']],
  ['jsonpath', ['$.a ? (@ > 1)']],
  ['pg_snapshot', ['10:20:10,14,15']],
  ['int2vector', ['1 2']],
];

const odd = `
  ALTER DATABASE current SET bytea_output = 'escape'; ALTER DATABASE current SET DateStyle = 'German, DMY';
  ALTER DATABASE current SET IntervalStyle = 'sql_standard'; ALTER DATABASE current SET extra_float_digits = -15;
  ALTER DATABASE current SET TimeZone = 'America/St_Johns'; ALTER DATABASE current SET search_path = odd, public;
  ALTER DATABASE current SET xmloption = 'document'; ALTER DATABASE current SET standard_conforming_strings = off;
  ALTER DATABASE current SET statement_timeout = '20s'; ALTER DATABASE current SET default_transaction_read_only = off;
  ALTER DATABASE current SET client_encoding = 'LATIN1'; ALTER DATABASE current SET row_security = on;
  ALTER ROLE postgres IN DATABASE current SET quote_all_identifiers = on;
  ALTER ROLE postgres IN DATABASE current SET DateStyle = 'SQL, DMY'; ALTER ROLE postgres IN DATABASE current SET default_transaction_isolation = 'serializable'`;

test('a value has one text, streamed or copied, whatever the database is set to', async (t) => {
  const database = await freshDatabase(t);
  await database.sql(`CREATE TYPE mood AS ENUM ('so so', 'happy'); CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN positive AS int CHECK (value > 0); CREATE SCHEMA odd; CREATE TABLE odd."Table" (id int)`);
  const list = columns.map(([type], i) => `c${i} ${type}`).join(', ');
  await database.sql(`CREATE TABLE wide (id int PRIMARY KEY, ${list})`);
  const rows = Math.max(...columns.map(([, values]) => values.length)) + 1;
  for (const statement of odd.split(';')) await database.sql(statement.replace('current', `"${database.name}"`));
  const session = await connected(sourceOn(database.url, { config: { tables: { include: ['public.wide'] } } }), t);
  const tail = new Tail(session);
  for (let row = 0; row < rows; row++) {
    const values = columns.map(([, all]) => all[row] ?? null);
    const places = columns.map(([type], i) => `$${i + 2}::text::${type}`);
    await database.sql(`SET standard_conforming_strings = on`);
    await database.sql(`INSERT INTO wide VALUES ($1, ${places.join(', ')})`, [row, ...values]);
  }
  await eventually(() => tail.items.filter((item) => item.op === 'c').length === rows);
  const [table] = session.tables;
  assert.ok(table !== undefined);
  const { rows: copied } = there(await session.snapshots.chunk({
    table, low: 'l', high: 'h', after: null, keys: null, maxRows: 100, maxBytes: 1 << 30, signal: new AbortController().signal,
  }));
  assert.equal(copied.count, rows);
  const streamed = tail.items.flatMap((item) => (item.op === 'c' ? [item] : []));
  for (const [i, item] of streamed.entries()) {
    const end = copied.starts[i + 1] ?? copied.length;
    assert.deepEqual(tupleTexts(copied.bytes, copied.starts[i] as number), tupleTexts(item.bytes, item.newAt));
    assert.deepEqual(Buffer.from(copied.bytes.subarray(copied.starts[i], end)), Buffer.from(item.bytes.subarray(item.newAt, item.end)));
  }
  const text = (type: string, row: number): string | null | undefined => {
    const item = streamed[row];
    return item && tupleTexts(item.bytes, item.newAt)[columns.findIndex(([name]) => name === type) + 1];
  };
  assert.deepEqual(
    [text('bytea', 1), text('date', 4), text('timestamptz', 1), text('interval', 0), text('float8', 3), text('regclass', 1), text('regtype', 0)],
    ['\\x00ff5c0a0927', '0001-01-01', '1900-01-01 00:00:00+00', '1 mon -1 days +02:03:04.000005', '0.1', 'odd."Table"', 'public.mood'],
  );
  assert.deepEqual([text('money', 0), text('char(5)', 0), text('numeric', 3)], ['-$1,234,567.89', 'ab   ', '0.00']);
});

test('a column says its type exactly, and what lies under a domain', async (t) => {
  const database = await freshDatabase(t);
  await database.sql(`CREATE SCHEMA s; CREATE TYPE s."My Mood" AS ENUM ('a'); CREATE DOMAIN d1 AS numeric(10,2); CREATE DOMAIN d2 AS d1;
    CREATE TABLE t (id int PRIMARY KEY, a numeric(10,2), b s."My Mood", c d2, d timestamptz(3), e varchar(7)[] NOT NULL)`);
  const session = await connected(sourceOn(database.url), t);
  const tail = new Tail(session);
  await database.sql("INSERT INTO t (id, e) VALUES (1, '{}')");
  await eventually(() => tail.commits().length === 1);
  const row = tail.items.find((item) => item.op === 'c');
  assert.ok(row?.op === 'c' && row.table === session.tables[0]);
  assert.deepEqual(
    row.table.columns.map((column) => [column.name, column.attnum, column.type, column.baseTypeOid, column.notNull]),
    [
      ['id', 1, 'integer', 23, true], ['a', 2, 'numeric(10,2)', 1700, false], ['b', 3, 's."My Mood"', row.table.columns[2]?.typeOid, false],
      ['c', 4, 'public.d2', 1700, false], ['d', 5, 'timestamp(3) with time zone', 1184, false], ['e', 6, 'character varying(7)[]', 1015, true],
    ],
  );
});

/** Amounts as half of Europe writes them. */
const localeSource = `comment_char %
escape_char /
LC_MONETARY
int_curr_symbol "EUR "
currency_symbol "EUR"
mon_decimal_point ","
mon_thousands_sep "."
mon_grouping 3;3
positive_sign ""
negative_sign "-"
int_frac_digits 2
frac_digits 2
p_cs_precedes 0
p_sep_by_space 1
n_cs_precedes 0
n_sep_by_space 1
p_sign_posn 1
n_sign_posn 1
END LC_MONETARY
LC_CTYPE
copy "POSIX"
END LC_CTYPE
`;

test('2.K: money has one text, copied or streamed, whatever lc_monetary is, and the session of a replica reads it as that amount', async (t) => {
  if (spawnSync('localedef', ['--version']).error !== undefined) return t.skip('platform: no localedef on this machine, which makes a locale with other amounts');
  const locales = await tempDirectory(t);
  await chmod(locales, 0o755);
  await writeFile(join(locales, 'source'), localeSource);
  const made = spawnSync('localedef', ['-c', '-i', join(locales, 'source'), '-f', 'UTF-8', join(locales, 'xx_XX')], { encoding: 'utf8' });
  // It warns of the categories that are not there; without charmaps (Debian: locales) it makes nothing.
  if (!existsSync(join(locales, 'xx_XX', 'LC_MONETARY'))) return t.skip(`platform: localedef makes no locale on this machine: ${made.stderr}`);
  const server = await startPostgres({ locales }, t);
  const url = await server.createDatabase('shop');
  const sql = (text: string): Promise<Record<string, unknown>[]> => server.sql(text, [], 'shop');
  await sql("ALTER DATABASE shop SET lc_monetary = 'xx_XX'");
  await sql("CREATE TABLE t (id int PRIMARY KEY, m money); INSERT INTO t VALUES (1, '-1234567.89'::numeric::money)");
  assert.deepEqual(await sql('SELECT m::text FROM t'), [{ m: '-1.234.567,89 EUR' }], made.stderr);
  const session = await connected(sourceOn(url), t);
  const tail = new Tail(session);
  await sql("INSERT INTO t VALUES (2, '-1234567.89'::numeric::money)");
  await eventually(() => tail.rows.length === 1);
  assert.deepEqual(tail.rows, ['c 0 public.t: 2 -$1,234,567.89']);
  const [table] = session.tables;
  assert.ok(table !== undefined);
  const { rows } = there(await session.snapshots.chunk({ table, low: 'l', high: 'h', after: null, keys: null, maxRows: 1, maxBytes: 1 << 20, signal: new AbortController().signal }));
  assert.deepEqual(tupleTexts(rows.bytes, rows.starts[0] as number), ['1', '-$1,234,567.89']);
  const parsed = parseConnectionUrl(url);
  assert.ok(parsed.problem === undefined);
  const replica = await PgConnection.open(parsed.target, { applicationName: 'tailrace-test' });
  t.after(() => replica.close());
  assert.deepEqual(await replica.query('SELECT $1::money::numeric::text AS n', ['-$1,234,567.89']), [{ n: '-1234567.89' }]);
});
