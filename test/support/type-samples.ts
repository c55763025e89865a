import fc from 'fast-check';
import { anyText, textsByType } from '../contract/change-samples.ts';

/** A type as a column has it, and values at its edges, each as a text that Postgres reads. */
export type TypeSample = readonly [type: string, values: readonly string[]];

/** Types that belong together, with what has to be made before a table of them: in the schema that is first in the search path. */
export interface TypeFamily {
  readonly name: string;
  readonly setup?: string;
  readonly samples: readonly TypeSample[];
}

const nines = (n: number): string => '9'.repeat(n);

/** Every built-in type that a column can have, types of our own of every kind, and those of the extensions that come with Postgres. */
export const typeFamilies: readonly TypeFamily[] = [
  {
    name: 'numbers',
    samples: [
      ['smallint', ['-32768', '32767', '0']],
      ['integer', ['-2147483648', '2147483647', '-0']],
      ['bigint', ['-9223372036854775808', '9223372036854775807', '9007199254740993']],
      ['oid', ['4294967295', '2147483648', '0']],
      ['real', ['NaN', 'Infinity', '-Infinity', '-0', '1e-45', '3.4028235e38', '0.1', '16777216', '1e6', '999999']],
      ['double precision', ['NaN', 'Infinity', '-Infinity', '-0', '5e-324', '1.7976931348623157e308', '0.1', '1e15', '999999999999999', '9007199254740993', '1e-4', '1e-5']],
      ['numeric', ['NaN', 'Infinity', '-Infinity', '0.00', '-0', '1.10', nines(131_072), `0.${nines(16_383)}`, '1e-16383', '12345678901234567890.123456789012345678901234567890']],
      ['numeric(10,2)', ['0.00', '-99999999.99', '1', 'NaN']],
      ['numeric(5,-2)', ['12345', '-9999949', '0']],
      ['numeric(3,5)', ['0.00123', '-0.00999']],
      ['money', ['-1234567.89', '92233720368547758.07', '-92233720368547758.08', '0']],
      ['boolean', ['t', 'f']],
    ],
  },
  {
    name: 'texts',
    samples: [
      ['text', ['', '\\N', 'NULL', '{}', '\\', '\\\\.', "quote ' \" \\ back", 'tab\tnewline\nreturn\r\b\f\v\u0001\u007f', '\u{10ffff}', 'e\u0301', '\u0301 alone', 'שלום عربي', '\u202edesrever\u202c', '\ufeffBOM', '\u2028', '__proto__', ' trailing  ', 'x'.repeat(70_000)]],
      ['character varying', ['', 'é🙂', ' ']],
      ['character varying(10)', ['', '0123456789', 'é🙂 ']],
      ['character(5)', ['', 'ab', 'ab   ', '🙂']],
      ['character', ['x', '', ' ']],
      ['bpchar', ['a', 'a ', '', ' ']],
      ['"char"', ['a', '', '\\', "'", ' ']],
      ['name', ['', 'select', 'x'.repeat(63), `${'é'.repeat(31)}x`]],
      ['bit(1)', ['0', '1']],
      ['bit(3)', ['000', '101']],
      ['bit varying', ['', '1010101', '0'.repeat(1000)]],
      ['bit varying(8)', ['', '11111111']],
      ['bytea', ['\\x', '\\x00', '\\x00ff5c0a0927', `\\x${Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0')).join('')}`]],
      ['uuid', ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11']],
      ['xml', ['<a>&amp;</a>', 'content <b/> and text', '', '<?xml version="1.0"?><root é="ü"/>', '<![CDATA[x]]>']],
      ['json', ['{"b":1, "a":1,"a":2}', '1e400', '"\\u0000"', 'null', '12345678901234567890', ' { "spaces" : [ ] } ', '{"__proto__": {"constructor": 1}}', '1.0', `${'['.repeat(500)}${']'.repeat(500)}`]],
      ['jsonb', ['{"b":1,"a":[1.0,1e3]}', 'null', '"__proto__"', '{"a":1,"a":2}', '12345678901234567890.0100', '"\\ud83d\\ude42"', `${'['.repeat(500)}${']'.repeat(500)}`]],
      ['jsonpath', ['$.a ? (@ > 1)', 'strict $."a b"[*]', '$.**{2 to last}']],
    ],
  },
  {
    name: 'times',
    samples: [
      ['date', ['infinity', '-infinity', '4714-11-24 BC', '5874897-12-31', '0001-01-01', '0001-12-31 BC', '10000-01-01', '1582-10-10', '1500-02-28', '2000-02-29', '1970-01-01']],
      ['time without time zone', ['24:00:00', '00:00:00', '00:00:00.000001', '23:59:59.999999', '23:59:60', '12:00:00.5']],
      ['time(0) without time zone', ['24:00:00', '23:59:59.4']],
      ['time(3) without time zone', ['24:00:00', '00:00:00.001', '12:00']],
      ['time with time zone', ['24:00:00-15:59', '00:00:00+00:53:28', '23:59:59.999999+15:59:59', '12:00:00Z']],
      ['time(3) with time zone', ['12:00:00.001-03:30']],
      ['timestamp without time zone', ['infinity', '-infinity', '4714-11-24 00:00:00 BC', '294276-12-31 23:59:59.999999', '1582-10-10', '0001-01-01 00:00:00', '10000-01-01', '2024-10-27 02:30:00', '1969-12-31 23:59:59.999999', '2016-12-31 23:59:60']],
      ['timestamp(0) without time zone', ['2024-01-01 00:00:00.5', 'infinity']],
      ['timestamp(1) without time zone', ['2024-01-01 00:00:00.9', '-infinity']],
      ['timestamp(2) without time zone', ['2024-01-01 00:00:00.99']],
      ['timestamp(3) without time zone', ['2024-01-01 00:00:00.123', '1969-12-31 23:59:59.999', '4714-11-24 00:00:00 BC']],
      ['timestamp(4) without time zone', ['2024-01-01 00:00:00.1234', '0001-12-31 23:59:59.9999 BC']],
      ['timestamp(5) without time zone', ['1969-12-31 23:59:59.99999']],
      ['timestamp(6) without time zone', ['1969-12-31 23:59:59.999999']],
      ['timestamp with time zone', ['infinity', '-infinity', '4714-11-24 00:00:00+00 BC', '294276-12-31 23:59:59.999999+00', '1900-01-01 00:00:00+00:53:28', '2024-10-27 00:30:00+00', '2024-10-27 01:30:00+00', '0001-12-31 23:59:59+00 BC', '9999-12-31 23:59:59.999999+00', '10000-01-01 00:00:00+00']],
      ['timestamp(3) with time zone', ['2024-01-01 00:00:00.123+05:30', '-infinity']],
      ['interval', ['infinity', '-infinity', '1 mon -1 days +02:03:04.000005', '-1 years +1 day', '-178000000 years', '0', '00:00:00.000001', '-00:00:01', '1000000 hours']],
      ['interval day to second(3)', ['1 day 02:03:04.567', '-00:00:00.001']],
      ['interval year', ['3 years', '-1 year']],
    ],
  },
  {
    name: 'arrays',
    setup: `CREATE TYPE mood AS ENUM ('so so', 'happy', 'it''s "odd"'); CREATE TYPE pair AS (a int, b text); CREATE DOMAIN positive AS int CHECK (value > 0)`,
    samples: [
      ['smallint[]', ['{}', '{-32768,NULL}']],
      ['integer[]', ['{}', '{NULL}', '[0:2]={1,NULL,3}', '{{1,2},{3,4}}', '[-1:0][5:6]={{1,2},{3,4}}', '{{{{{{1}}}}}}']],
      ['bigint[]', ['{9223372036854775807,-9223372036854775808}']],
      ['double precision[]', ['{NaN,Infinity,-Infinity,-0,5e-324,0.1}']],
      ['numeric[]', ['{NaN,0.00,Infinity}', `{${nines(500)}}`]],
      ['boolean[]', ['{t,f,NULL}']],
      ['text[]', ['{"",NULL,"NULL","null","a,b","\\"","\\\\","{}"," ",\'}', '{{"a b"},{"c\nd"}}', '{\u{10ffff}}']],
      ['character varying(3)[]', ['{abc,""}']],
      ['character(3)[]', ['{a,"   "}']],
      ['"char"[]', ['{a,"",NULL}']],
      ['bytea[]', ['{"\\\\x00ff","\\\\x",NULL}']],
      ['uuid[]', ['{00000000-0000-0000-0000-000000000000}']],
      ['json[]', ['{"{\\"a\\": [1, null]}","null",NULL}']],
      ['jsonb[]', ['{"{\\"a\\": [1, null]}","\\"\\"",NULL}']],
      ['date[]', ['{infinity,"0001-01-01 BC"}']],
      ['time without time zone[]', ['{24:00:00,00:00:00.000001,NULL}']],
      ['time with time zone[]', ['{24:00:00+00}']],
      ['timestamp with time zone[]', ['{infinity,"0001-01-01 00:00:00+00 BC","2024-10-27 01:30:00+00"}']],
      ['interval[]', ['{"1 mon -1 days",00:00:00}']],
      ['inet[]', ['{::1/64,10.0.0.1}']],
      ['point[]', ['{"(1,2)","(NaN,-0)"}']],
      // The one type whose elements are separated by a semicolon.
      ['box[]', ['{(2,2),(1,1);(4,4),(3,3);NULL}']],
      ['bit(3)[]', ['{101,000}']],
      ['money[]', ['{"$1.00","-$2.50"}']],
      ['int4range[]', ['{"[1,5)",empty,NULL}']],
      ['nummultirange[]', ['{"{[1.5,2),[3,)}","{}"}']],
      ['mood[]', ['{"so so",happy,NULL,"it\'s \\"odd\\""}']],
      ['pair[]', ['{"(1,\\"a,b\\")","(,)",NULL}']],
      ['positive[]', ['{1,NULL}']],
      ['int2vector', ['', '1 2 -3']],
      ['oidvector', ['', '4294967295 0']],
    ],
  },
  {
    name: 'ranges',
    setup: `CREATE TYPE floatrange AS RANGE (subtype = float8); CREATE TYPE textrange AS RANGE (subtype = text); CREATE DOMAIN ranged AS int4range CHECK (NOT isempty(value)); CREATE DOMAIN cents AS numeric(12,2) CHECK (value >= 0); CREATE TYPE centsrange AS RANGE (subtype = cents)`,
    samples: [
      ['int4range', ['empty', '(,)', '[1,5)', '[1,5]', '(,5]']],
      ['int8range', ['empty', '[-9223372036854775808,9223372036854775807)']],
      ['numrange', ['empty', '(1.50,NaN)', '[0,Infinity]', '(,)']],
      ['daterange', ['[2024-01-01,infinity)', '[-infinity,)', 'empty', '[0001-01-01 BC,]']],
      ['tsrange', ['("2024-01-01 00:00:00",infinity]', '(,)']],
      ['tstzrange', ['["2024-01-01 00:00:00+00",infinity]', '(,"0001-01-01 00:00:00+00 BC")']],
      ['int4multirange', ['{}', '{[1,2),[5,)}']],
      ['int8multirange', ['{}', '{(,)}']],
      ['nummultirange', ['{[1.5,2),[3,)}', '{}']],
      ['datemultirange', ['{[2024-01-01,2024-01-02),[2025-01-01,infinity)}']],
      ['tsmultirange', ['{("2024-01-01 00:00:00",infinity)}']],
      ['tstzmultirange', ['{["2024-01-01 00:00:00+00","2024-01-02 00:00:00+00"]}', '{}']],
      ['floatrange', ['[0.1,1e300)', 'empty', '[-0,NaN]']],
      ['floatmultirange', ['{[0.1,0.2),[1,2]}']],
      ['textrange', ['["",a)', '["a,b","c\\"d"]', '("(",")")']],
      ['ranged', ['[1,2)']],
      ['centsrange', ['[0.00,9.99]', 'empty', '(,1)']],
      ['centsmultirange', ['{[0.00,1.50),[2.00,)}']],
    ],
  },
  {
    name: 'places',
    samples: [
      ['inet', ['::1', '::1/64', '192.168.0.1', '192.168.0.1/24', '::ffff:1.2.3.4', '0.0.0.0/0']],
      ['cidr', ['10.0.0.0/8', '::/0', '2001:db8::/32', '10.0.0.1/32']],
      ['macaddr', ['08:00:2b:01:02:03', 'FF-FF-FF-FF-FF-FF']],
      ['macaddr8', ['08:00:2b:01:02:03:04:05']],
      ['point', ['(Infinity,NaN)', '(-0,1e-300)', '(1,2)']],
      ['line', ['{1,-1,0}', '{0,1,1e300}']],
      ['lseg', ['[(1,2),(3,4)]', '[(Infinity,NaN),(-0,1e-300)]']],
      ['box', ['(3,4),(1,2)', '((0,0),(Infinity,1))']],
      ['path', ['[(1,2),(3,4)]', '((1,2))', '[(NaN,1),(Infinity,-Infinity)]']],
      ['polygon', ['((0,0),(1,0),(0,1))', '((NaN,0),(Infinity,1))']],
      ['circle', ['<(1,2),3>', '<(0,0),0>', '<(NaN,Infinity),Infinity>']],
      ['tsvector', ['', "'a':1A 'b c':2", "'it''s' 'back\\\\slash'"]],
      ['tsquery', ['', "'a' & !'b'", "'a':*AB <-> 'c'"]],
      ['pg_lsn', ['0/0', 'FFFFFFFF/FFFFFFFF', '16/B374D848']],
      ['xid', ['0', '4294967295']],
      ['xid8', ['0', '18446744073709551615']],
      ['cid', ['4294967295']],
      ['tid', ['(0,1)', '(4294967295,65535)']],
      ['txid_snapshot', ['10:20:10,14,15']],
      ['pg_snapshot', ['10:20:10,14,15', '1:1:']],
      ['refcursor', ['', 'a cursor']],
    ],
  },
  {
    name: 'objects',
    setup: `CREATE TYPE "Odd Type" AS ENUM ('a'); CREATE TABLE "Odd Table" (id int PRIMARY KEY)`,
    samples: [
      ['regclass', ['pg_catalog.pg_class', '"Odd Table"', '0']],
      ['regtype', ['integer', '"Odd Type"', 'timestamp(3) with time zone']],
      ['regproc', ['pg_catalog.now', '0']],
      ['regprocedure', ['pg_catalog.abs(integer)']],
      ['regoper', ['pg_catalog.|/', '0']],
      ['regoperator', ['pg_catalog.+(integer,integer)']],
      ['regnamespace', ['pg_catalog']],
      ['regrole', ['postgres']],
      ['regconfig', ['english']],
      ['regdictionary', ['simple']],
      ['regcollation', ['"C"', '"default"']],
      ['aclitem', ['postgres=arw/postgres', '=r/postgres']],
      ['regclass[]', ['{pg_catalog.pg_class,NULL}']],
    ],
  },
  {
    name: 'own',
    setup: `CREATE TYPE mood AS ENUM ('so so', 'happy', 'it''s "odd", \\really', '${'é'.repeat(31)}x'); CREATE TYPE pair AS (a int, "B b" text); CREATE TYPE nest AS (p pair, l pair[], m mood);
      CREATE DOMAIN positive AS int CHECK (value > 0); CREATE DOMAIN most AS positive CHECK (value < 1000); CREATE DOMAIN price AS numeric(10,2); CREATE DOMAIN ints AS int[]; CREATE DOMAIN pairs AS pair;
      CREATE DOMAIN mail AS varchar(20); CREATE DOMAIN flag AS bool; CREATE DOMAIN raw AS bytea; CREATE DOMAIN moment AS timestamptz(3);
      CREATE DOMAIN few AS ints CHECK (cardinality(value) < 5); CREATE TYPE shade; CREATE FUNCTION shade_in(cstring) RETURNS shade LANGUAGE internal IMMUTABLE STRICT AS 'textin';
      CREATE FUNCTION shade_out(shade) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout'; CREATE TYPE shade (INPUT = shade_in, OUTPUT = shade_out, LIKE = text);
      CREATE TYPE weight; CREATE FUNCTION weight_in(cstring) RETURNS weight LANGUAGE internal IMMUTABLE STRICT AS 'float8in'; CREATE FUNCTION weight_out(weight) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'float8out';
      CREATE TYPE weight (INPUT = weight_in, OUTPUT = weight_out, LIKE = float8)`,
    samples: [
      ['mood', ['so so', 'happy', 'it\'s "odd", \\really', `${'é'.repeat(31)}x`]],
      ['pair', ['(1,"a,b")', '(,)', '(1,"\\"")', '(,"")', '(7,"new\nline")']],
      ['nest', ['("(1,x)","{""(2,y)"",NULL}",happy)', '(,,)']],
      ['positive', ['1', '2147483647']],
      ['most', ['999']],
      ['price', ['1', '-0.005']],
      ['ints', ['{1,NULL}', '{}']],
      ['few', ['{1,NULL}', '[2:3]={7,8}']],
      ['pairs', ['(1,x)']],
      ['mail', ['a@b', '']],
      ['flag', ['t', 'f']],
      ['raw', ['\\x00ff']],
      ['moment', ['2024-01-01 00:00:00.123+00', 'infinity']],
      // What an extension makes: types that are built of nothing that anybody knows.
      ['shade', ['', 'deep "blue"', 'x'.repeat(9000)]],
      ['weight', ['NaN', '-0', '0.1']],
      ['shade[]', ['{"a,b",NULL}']],
    ],
  },
  {
    name: 'extensions',
    setup: ['hstore', 'citext', 'ltree', 'isn', 'cube', 'seg', 'lo', 'intarray', 'earthdistance'].map((name) => `CREATE EXTENSION IF NOT EXISTS ${name} SCHEMA public`).join('; '),
    samples: [
      ['public.hstore', ['', '"a"=>"1", "b"=>NULL', '"quote \\" and \\\\"=>"=>"']],
      ['public.citext', ['Mixed', '', 'ß']],
      ['public.ltree', ['', 'Top.Science.Astronomy', 'a_b.c1']],
      ['public.lquery', ['Top.*{1,2}.Astro*@|pictures@.!a|b']],
      ['public.ltxtquery', ['Europe & Russia*@ & !Transportation']],
      ['public.ean13', ['9780306406157']],
      ['public.isbn13', ['978-0-393-04002-9']],
      ['public.isbn', ['0-393-04002-X']],
      ['public.ismn', ['979-0-060-11561-5']],
      ['public.issn', ['1436-4522']],
      ['public.upc', ['220356483481']],
      ['public.cube', ['(1, 2, 3)', '(0.1),(1e300)', '()']],
      ['public.seg', ['1.5 .. 2', '<3', '~5.0', '1e-10']],
      ['public.lo', ['4294967295']],
      ['public.query_int', ['1 & (2 | !3)']],
      ['public.earth', ['(0, 0, 6378168)']],
      ['public.hstore[]', ['{"\\"a\\"=>\\"1\\"",NULL}']],
      ['public.citext[]', ['{A,a}']],
    ],
  },
];

const text = (oid: number): fc.Arbitrary<string> => textsByType.get(oid) as fc.Arbitrary<string>;
const quoted = (value: string): string => `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
const arrayOf = (element: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.array(fc.option(element, { nil: null }), { maxLength: 5 }).map((items) => `{${items.map((item) => (item === null ? 'NULL' : quoted(item))).join(',')}}`);
const short = anyText.filter((value) => value.length < 100);
const number = fc.double({ noNaN: true }).map(String);
const range = (of: fc.Arbitrary<bigint>): fc.Arbitrary<string> =>
  fc.oneof(
    fc.constantFrom('empty', '(,)'),
    fc.tuple(of, of, fc.constantFrom('[', '('), fc.constantFrom(']', ')')).map(([a, b, open, close]) => `${open}${a < b ? a : b},${a < b ? b : a}${close}`),
    of.map((a) => `[${a},)`),
  );
const small = fc.bigInt({ min: -1000n, max: 1000n });
const big = fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n });

/**
 * Values of a type drawn at random; a type for each way in which codecs and sinks treat values. Some are none of the type (a date
 * before the first one): `pg_input_is_valid` tells.
 */
export const anyValue: Readonly<Record<string, fc.Arbitrary<string>>> = {
  'smallint': text(21), 'integer': text(23), 'bigint': text(20), 'oid': text(26), 'double precision': text(701), 'numeric': text(1700), 'boolean': text(16),
  'real': fc.oneof(fc.float({ noNaN: true }).map((n) => (Object.is(n, -0) ? '-0' : String(n))), fc.constantFrom('NaN', 'Infinity', '-Infinity')),
  'numeric(30,10)': fc.tuple(big, fc.bigInt({ min: 0n, max: 10n ** 10n - 1n })).map(([whole, part]) => `${whole}.${part}`),
  'money': fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((cents) => `${cents / 100n}.${String(cents % 100n).replace('-', '').padStart(2, '0')}`),
  'text': anyText, 'character(7)': short.map((value) => Array.from(value).slice(0, 7).join('')), 'bytea': text(17), 'json': text(114),
  'bit varying': fc.array(fc.constantFrom('0', '1'), { maxLength: 70 }).map((bits) => bits.join('')), 'uuid': fc.uuid(),
  'jsonb': fc.json().filter((value) => !/\\u0000|\\ud[89a-f]/i.test(value) && !value.includes('\0')),
  'date': text(1082), 'time without time zone': text(1083), 'time(3) without time zone': text(1083), 'timestamp without time zone': text(1114), 'timestamp(3) without time zone': text(1114),
  'timestamp with time zone': text(1184), 'time with time zone': text(1266),
  'interval': fc.tuple(fc.integer(), fc.integer(), fc.bigInt({ min: -(2n ** 50n), max: 2n ** 50n })).map(([months, days, micros]) => `${months} mons ${days} days ${micros} microseconds`),
  'integer[]': arrayOf(text(23)), 'text[]': arrayOf(short), 'timestamp with time zone[]': arrayOf(text(1184)), 'bytea[]': arrayOf(text(17)), 'double precision[]': arrayOf(text(701)),
  'int4range': range(small), 'int8range': range(big), 'numrange': range(big), 'int4multirange': fc.array(range(small), { maxLength: 4 }).map((ranges) => `{${ranges.join(',')}}`),
  'inet': fc.oneof(fc.ipV4(), fc.ipV6(), fc.tuple(fc.ipV4(), fc.nat(32)).map(([address, bits]) => `${address}/${bits}`)),
  'point': fc.tuple(number, number).map(([x, y]) => `(${x},${y})`),
  'tsvector': fc.array(fc.string({ minLength: 1, maxLength: 8 }).map((lexeme) => `'${lexeme.replaceAll(/['\\]/g, '$&$&')}'`), { maxLength: 4 }).map((lexemes) => lexemes.join(' ')),
  'pg_lsn': fc.tuple(fc.nat(), fc.nat()).map(([high, low]) => `${high.toString(16)}/${low.toString(16)}`),
  'xid8': fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
};
