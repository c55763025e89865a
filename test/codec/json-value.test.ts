import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { ByteWriter } from '../../src/codec/byte-writer.ts';
import { JsonReader } from '../../src/codec/json-reader.ts';
import { jsonFormOf, readJsonValue, writeJsonValue } from '../../src/codec/json-value.ts';
import type { Column } from '../../src/event/table.ts';
import { tableOf } from '../contract/change-samples.ts';

/** `[type, oid, typmod, Postgres's text, JSON]`; docs/formats.md shows some of them. */
const cases: readonly (readonly [type: string, oid: number, typmod: number, text: string, json: string])[] = [
  ['boolean', 16, -1, 't', 'true'],
  ['boolean', 16, -1, 'f', 'false'],
  ['smallint', 21, -1, '-32768', '-32768'],
  ['integer', 23, -1, '42', '42'],
  ['bigint', 20, -1, '9223372036854775807', '9223372036854775807'],
  ['oid', 26, -1, '4294967295', '4294967295'],
  ['real', 700, -1, '1e-45', '1e-45'],
  ['double precision', 701, -1, '0.1', '0.1'],
  ['double precision', 701, -1, '-0', '-0'],
  ['double precision', 701, -1, '1e+20', '1e+20'],
  ['double precision', 701, -1, 'NaN', '"NaN"'],
  ['double precision', 701, -1, '-Infinity', '"-Infinity"'],
  ['numeric', 1700, -1, '0.00', '"0.00"'],
  ['bytea', 17, -1, '\\x', '""'],
  ['bytea', 17, -1, '\\x00', '"AA=="'],
  ['bytea', 17, -1, '\\x00ff', '"AP8="'],
  ['bytea', 17, -1, '\\x00ff10', '"AP8Q"'],
  ['date', 1082, -1, '1970-01-01', '0'],
  ['date', 1082, -1, '1969-12-31', '-1'],
  ['date', 1082, -1, '2024-02-29', '19782'],
  ['date', 1082, -1, '0001-01-01', '-719162'],
  ['date', 1082, -1, '0001-12-31 BC', '-719163'],
  ['date', 1082, -1, '4714-11-24 BC', '-2440588'],
  ['date', 1082, -1, 'infinity', '"infinity"'],
  ['date', 1082, -1, '2023-02-29', '"2023-02-29"'],
  ['time', 1083, -1, '00:00:00', '0'],
  ['time', 1083, -1, '23:59:59.999999', '86399999999'],
  ['time', 1083, -1, '24:00:00', '"24:00:00"'],
  ['time(3)', 1083, 3, '00:00:01.5', '1500'],
  ['timestamp', 1114, -1, '1970-01-01 00:00:00.000001', '1'],
  ['timestamp', 1114, -1, '1969-12-31 23:59:59.999999', '-1'],
  ['timestamp', 1114, -1, '1969-12-31 23:59:59', '-1000000'],
  ['timestamp', 1114, -1, '2024-02-29 12:34:56.789', '1709210096789000'],
  ['timestamp', 1114, -1, '294247-01-10 04:00:53.999999', '9223372036853999999'],
  ['timestamp', 1114, -1, '294247-01-10 04:00:54', '"294247-01-10 04:00:54"'],
  ['timestamp', 1114, -1, '4714-11-24 00:00:00 BC', '-210866803200000000'],
  // Beyond what Postgres has, and 64 bits of microseconds: never a number that wraps around.
  ['timestamp', 1114, -1, '290309-01-01 00:00:00 BC', '"290309-01-01 00:00:00 BC"'],
  ['timestamp', 1114, -1, '-infinity', '"-infinity"'],
  ['timestamp(3)', 1114, 3, '2024-02-29 12:34:56.789', '1709210096789'],
  ['timestamp(3)', 1114, 3, '1969-12-31 23:59:59.999', '-1'],
  ['timestamptz', 1184, -1, '2024-02-29 12:34:56.789+00', '"2024-02-29T12:34:56.789Z"'],
  ['timestamptz', 1184, -1, '10000-01-01 00:00:00+00', '"10000-01-01 00:00:00+00"'],
  ['timestamptz', 1184, -1, '0044-03-15 00:00:00+00 BC', '"0044-03-15 00:00:00+00 BC"'],
  ['timetz', 1266, -1, '12:00:00+02', '"12:00:00+02"'],
  ['interval', 1186, -1, '1 mon -1 days', '"1 mon -1 days"'],
  ['jsonb', 3802, -1, '{"a": 1}', '"{\\"a\\": 1}"'],
  ['uuid', 2950, -1, '6f1b2c3d-0000-4000-8000-000000000001', '"6f1b2c3d-0000-4000-8000-000000000001"'],
  ['text[]', 1009, -1, '{a,NULL,"b c"}', '"{a,NULL,\\"b c\\"}"'],
  ['text', 25, -1, '\t\u0001\u2028é', '"\\t\\u0001\u2028é"'],
];

function columnOf(oid: number, typmod: number): Column {
  return tableOf([['c', oid, typmod]]).columns[0] as Column;
}

function write(column: Column, text: string): string {
  const writer = new ByteWriter();
  const bytes = Buffer.from(`<${text}>`);
  assert.ok(writeJsonValue(writer, jsonFormOf(column), { bytes, start: 1, end: bytes.length - 1 }), text);
  return writer.bytes.toString('utf8', 0, writer.length);
}

function read(column: Column, json: string): string {
  const writer = new ByteWriter();
  const bytes = Buffer.from(json);
  const reader = new JsonReader().reset(bytes, 0, bytes.length);
  reader.scalar();
  readJsonValue(writer, jsonFormOf(column), reader);
  return writer.bytes.toString('utf8', 0, writer.length);
}

suite('each value stands as docs/formats.md says and comes back as it was', () => {
  for (const [type, oid, typmod, text, json] of cases)
    test(`${type} ${text.replaceAll('\u0001', '?')}`, () => {
      const column = columnOf(oid, typmod);
      assert.equal(write(column, text), json);
      assert.equal(read(column, json), text);
    });
});

test('docs/formats.md shows what the codec writes', () => {
  const page = readFileSync(new URL('../../docs/formats.md', import.meta.url), 'utf8');
  const rows = [...page.slice(page.indexOf('## json'), page.indexOf('### json with schemas')).matchAll(/^\| `([^`]+)`.*\| `([^`]+)` \| `([^`]+)` \|$/gm)];
  assert.ok(rows.length >= 12, 'the table is gone');
  for (const [, types, text, json] of rows) {
    const known = cases.find(([type]) => type === types);
    assert.ok(known, `no case has the type ${types}`);
    assert.equal(write(columnOf(known[1], known[2]), text as string), json);
  }
});

test('numbers that only earlier versions wrote are read: beyond 64 bits, for the last years that Postgres has, and the end of a day', () => {
  assert.equal(read(columnOf(1083, -1), '86400000000'), '24:00:00');
  assert.equal(read(columnOf(1114, -1), '9224318015999999999'), '294276-12-31 23:59:59.999999');
});

test('numbers that no text gives are damage', () => {
  for (const [oid, json] of [[1082, '1.5'], [1083, '86400000001'], [1083, '-1'], [1114, '1e3'], [1114, '99999999999999999999999'], [25, '1'], [16, '1'], [17, 'true'], [17, '"AB=="'], [17, '"A"']] as const)
    assert.throws(() => read(columnOf(oid, -1), json), SyntaxError, `${oid} ${json}`);
});

test('a text that the column\'s form could not tell from its own is refused', () => {
  const writer = new ByteWriter();
  const refused = (oid: number, text: string): boolean => !writeJsonValue(writer, jsonFormOf(columnOf(oid, -1)), { bytes: Buffer.from(text), start: 0, end: text.length });
  assert.ok(refused(17, 'AP8='), 'bytea_output = escape');
  assert.ok(refused(1184, '2024-02-29T12:34:56.789Z'), 'a DateStyle that nobody pinned');
});
