import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { newEncoded } from '../../../src/codec/codec.ts';
import { createJsonCodec } from '../../../src/codec/json/index.ts';
import { noTable, type TableSchema } from '../../../src/event/table.ts';
import { tupleTexts } from '../../../src/event/tuple.ts';
import { anyChange, changeOf, plain, tableOf } from '../../contract/change-samples.ts';
import { codecGolden } from '../../contract/codec-golden.ts';
import { codecContract, content, context, stored } from '../../contract/codec.ts';
import { type ConnectSchema, fieldsOf, fits, parseConnect } from './connect-oracle.ts';

const create = (): ReturnType<typeof createJsonCodec> => createJsonCodec({ schemas: true });

codecContract('json with schemas', create);
codecGolden('json-schemas', create);

const codec = create();
const bare = createJsonCodec();

function written(change: Parameters<typeof stored>[1]): Record<'key' | 'value', ReturnType<typeof parseConnect>> {
  const { key, value } = stored(codec, change);
  return { key: parseConnect(String(content(key))), value: parseConnect(String(content(value))) };
}

const money = (precision: number, scale: number): number => ((precision << 16) | scale) + 4;

/** `[type, oid, typmod, Postgres's text, type in the schema, its name, JSON]`. */
const cases: readonly (readonly [type: string, oid: number, typmod: number, text: string, connect: string, name: string, json: string])[] = [
  ['boolean', 16, -1, 't', 'boolean', '', 'true'],
  ['smallint', 21, -1, '-32768', 'int16', '', '-32768'],
  ['integer', 23, -1, '-2147483648', 'int32', '', '-2147483648'],
  ['bigint', 20, -1, '9223372036854775807', 'int64', '', '9223372036854775807'],
  ['oid', 26, -1, '4294967295', 'int64', '', '4294967295'],
  ['real', 700, -1, '1e-45', 'float', '', '1e-45'],
  ['double precision', 701, -1, '5e-324', 'double', '', '5e-324'],
  ['double precision', 701, -1, 'NaN', 'string', '', '"NaN"'],
  ['numeric(10,2)', 1700, money(10, 2), '-0.50', 'bytes', 'org.apache.kafka.connect.data.Decimal', '-0.50'],
  ['numeric(10,2)', 1700, money(10, 2), 'NaN', 'string', '', '"NaN"'],
  ['numeric(38,0)', 1700, money(38, 0), '1'.repeat(38), 'bytes', 'org.apache.kafka.connect.data.Decimal', '1'.repeat(38)],
  ['numeric', 1700, -1, '1.10', 'string', '', '"1.10"'],
  ['numeric(2,-3)', 1700, (2 << 16) + (2045 & 0x7ff) + 4, '12000', 'string', '', '"12000"'],
  ['bytea', 17, -1, '\\x00ff10', 'bytes', '', '"AP8Q"'],
  ['date', 1082, -1, '2024-02-29', 'int32', 'io.debezium.time.Date', '19782'],
  ['date', 1082, -1, '5874897-12-31', 'int32', 'io.debezium.time.Date', '2145042905'],
  ['date', 1082, -1, 'infinity', 'string', '', '"infinity"'],
  ['time', 1083, -1, '23:59:59.999999', 'int64', 'io.debezium.time.MicroTime', '86399999999'],
  ['time', 1083, -1, '24:00:00', 'string', '', '"24:00:00"'],
  ['time(3)', 1083, 3, '00:00:01.5', 'int32', 'io.debezium.time.Time', '1500'],
  ['timestamp', 1114, -1, '2024-02-29 12:34:56.789', 'int64', 'io.debezium.time.MicroTimestamp', '1709210096789000'],
  ['timestamp', 1114, -1, '294247-01-10 04:00:53.999999', 'int64', 'io.debezium.time.MicroTimestamp', '9223372036853999999'],
  ['timestamp', 1114, -1, '294247-01-10 04:00:54', 'string', '', '"294247-01-10 04:00:54"'],
  ['timestamp', 1114, -1, '294276-12-31 23:59:59.999999', 'string', '', '"294276-12-31 23:59:59.999999"'],
  ['timestamp(3)', 1114, 3, '2024-02-29 12:34:56.789', 'int64', 'io.debezium.time.Timestamp', '1709210096789'],
  ['timestamptz', 1184, -1, '2024-02-29 12:34:56.789+00', 'string', 'io.debezium.time.ZonedTimestamp', '"2024-02-29T12:34:56.789Z"'],
  ['timestamptz', 1184, -1, '-infinity', 'string', '', '"-infinity"'],
  ['timetz', 1266, -1, '12:00:00+02', 'string', '', '"12:00:00+02"'],
  ['interval', 1186, -1, '1 mon -1 days', 'string', '', '"1 mon -1 days"'],
  ['json', 114, -1, '{"a":1}', 'string', 'io.debezium.data.Json', '"{\\"a\\":1}"'],
  ['jsonb', 3802, -1, '{"a": 1}', 'string', 'io.debezium.data.Json', '"{\\"a\\": 1}"'],
  ['xml', 142, -1, '<a/>', 'string', 'io.debezium.data.Xml', '"<a/>"'],
  ['uuid', 2950, -1, '6f1b2c3d-0000-4000-8000-000000000001', 'string', 'io.debezium.data.Uuid', '"6f1b2c3d-0000-4000-8000-000000000001"'],
  ['text[]', 1009, -1, '{a,NULL,"b c"}', 'string', '', '"{a,NULL,\\"b c\\"}"'],
  ['text', 25, -1, 'é', 'string', '', '"é"'],
];

suite('each value has the type that docs/formats.md says, and says the same as without schemas', () => {
  for (const [type, oid, typmod, text, connect, name, json] of cases)
    test(`${type} ${text}`, () => {
      const table = tableOf([['id', 23], ['c', oid, typmod]]);
      const change = changeOf(table, { op: 'c', new: ['1', text] });
      const record = stored(codec, change);
      assert.ok(String(content(record.value)).includes(`"after":{"id":1,"c":${json}}`), String(content(record.value)));
      const [, field] = fieldsOf(written(change).value.schema, 'after') as [ConnectSchema, ConnectSchema];
      assert.deepEqual([field.type, field.name ?? '', field.optional, field.field], [connect, name, true, 'c']);
      assert.deepEqual(plain(codec.decodeRow(record, table)), plain(change));
    });
});

test('a decimal tells its scale and its precision', () => {
  const [, price] = fieldsOf(written(changeOf(tableOf([['id', 23], ['price', 1700, money(10, 2)]]), { op: 'c', new: ['1', '1.10'] })).value.schema, 'after');
  assert.deepEqual(price?.parameters, { 'scale': '2', 'connect.decimal.precision': '10' });
});

test('docs/formats.md has the type of each', () => {
  const page = readFileSync(new URL('../../../docs/formats.md', import.meta.url), 'utf8');
  const part = page.slice(page.indexOf('### json with schemas'), page.indexOf('## avro'));
  const rows = [...part.matchAll(/^\| `([^`]+)`[^|]*\| `([^`]+)` \|(?: `([^`]+)`)? \|$/gm)];
  assert.ok(rows.length >= 15, 'the table is gone');
  for (const [, type, connect, name] of rows) {
    const known = cases.find((each) => each[0] === type);
    assert.deepEqual([known?.[4], known?.[5]], [connect, name ?? ''], type);
  }
});

test('a schema is true of its own record, whatever is in it: nothing is lost or bent by who reads with it', () => {
  fc.assert(
    fc.property(anyChange, (change) => {
      // V8's JSON.parse (in Node 24.21) now and then takes a member of one escaped character, `"\\n"`, for the backslash.
      fc.pre(change.table.columns.every(({ name }) => name.length !== 1 || JSON.stringify(name) === `"${name}"`));
      const record = stored(codec, change);
      for (const bytes of [content(record.key), content(record.value)]) if (bytes !== null) fits(parseConnect(String(bytes)));
    }),
    { numRuns: 1000 },
  );
});

test('a column that Postgres did not send is no field; one that is null may be; the others are as the table says', () => {
  const table = tableOf([['id', 23], ['big', 25], ['n', 23], ['until', 1082]]);
  const strict: TableSchema = { ...table, columns: table.columns.map((column) => ({ ...column, notNull: true })) };
  const { key, value } = written(changeOf(strict, { op: 'u', old: ['1', null, null, null], new: ['1', undefined, '7', 'infinity'] }));
  const told = (fields: readonly ConnectSchema[]): unknown => fields.map(({ field, type, optional }) => [field, type, optional]);
  assert.deepEqual(told(fieldsOf(key.schema)), [['id', 'int32', false]]);
  assert.deepEqual(told(fieldsOf(value.schema, 'before')), [['id', 'int32', false], ['big', 'string', true], ['n', 'int32', true], ['until', 'int32', true]]);
  assert.deepEqual(told(fieldsOf(value.schema, 'after')), [['id', 'int32', false], ['n', 'int32', false], ['until', 'string', false]]);
});

test('what was worked out for one row of a table is never said of another that it is not true of', () => {
  const plainTable = tableOf([['id', 701], ['n', 23], ['until', 1082], ['at', 1184]]);
  const table: TableSchema = { ...plainTable, columns: plainTable.columns.map((column, i) => ({ ...column, notNull: i < 2 })) };
  const usual = ['1', '2', '2024-02-29', '2024-02-29 12:34:56+00'];
  const rows = [usual, ['NaN', ...usual.slice(1)], ['1', null, '2024-02-29', null], ['1', '2', 'infinity', null], ['1', '2', null, undefined], ['1', '2', null, 'infinity'], usual];
  const many = create();
  // Twice: by then all that may be known is.
  for (const row of [...rows, ...rows]) {
    for (const change of [changeOf(table, { op: 'c', new: row }), changeOf(table, { op: 'u', old: usual, new: row }), changeOf(table, { op: 'd', old: row.map((text) => text ?? null) })]) {
      const [record, fresh] = [stored(many, change), stored(create(), change)];
      assert.equal(String(content(record.key)), String(content(fresh.key)));
      assert.equal(String(content(record.value)), String(content(fresh.value)));
      fits(parseConnect(String(content(record.value))));
    }
  }
});

test('the names are Debezium\'s: of the envelope, its rows and the key, by the topic', () => {
  const { key, value } = written(changeOf(tableOf([['id', 23]], [0], 'odd "name"'), { op: 'd', old: ['1'] }));
  assert.equal(key.schema.name, 'shop.public.odd "name".Key');
  assert.equal(value.schema.name, 'shop.public.odd "name".Envelope');
  const fields = value.schema.fields?.map(({ field, name }) => [field, name]);
  assert.deepEqual(fields, [
    ['before', 'shop.public.odd "name".Value'], ['after', 'shop.public.odd "name".Value'], ['source', 'io.debezium.connector.postgresql.Source'],
    ['transaction', 'event.block'], ['op', undefined], ['ts_ms', undefined], ['ts_us', undefined], ['ts_ns', undefined],
  ]);
});

test('truncates and messages carry their schemas too', () => {
  const table = tableOf([['id', 23]]);
  const out = newEncoded();
  codec.encodeTruncate({ op: 't', tables: [table], ordinal: 0, cascade: false, restartIdentity: false }, table, context, out);
  fits(parseConnect(String(content(out.value))));
  codec.encodeMessage({ op: 'm', prefix: 'foo', content: Buffer.from('bar'), ordinal: 1 }, noTable, context, out);
  const message = parseConnect(String(content(out.value)));
  fits(message);
  fits(parseConnect(String(content(out.key))));
  assert.equal(message.schema.name, 'io.debezium.connector.postgresql.MessageValue');
});

test('either way is read whichever is set, because a pipeline may have been told otherwise before', () => {
  const table = tableOf([['id', 23], ['price', 1700, money(10, 2)]]);
  const change = changeOf(table, { op: 'u', old: ['2', null], new: ['1', '1.10'] });
  for (const [writer, reader] of [[codec, bare], [bare, codec]] as const) {
    const decoded = reader.decodeRow(stored(writer, change), table);
    assert.deepEqual(tupleTexts(decoded.bytes, decoded.newAt), ['1', '1.10']);
    const out = newEncoded();
    writer.encodeMessage({ op: 'm', prefix: 'foo', content: Buffer.from('bar'), ordinal: 1 }, noTable, context, out);
    assert.equal(Buffer.from(reader.decodeMessage(out.value, 1).content).toString(), 'bar');
  }
});

test('a payload within a payload is damage', () => {
  const text = Buffer.from('{"payload":{"payload":{"before":null,"after":{"id":1}}}}');
  const nothing = { bytes: text, start: -1, end: -1 };
  const record = { op: 'c' as const, ordinal: 0, key: nothing, value: { bytes: text, start: 0, end: text.length }, extra: nothing };
  assert.throws(() => codec.decodeRow(record, tableOf([['id', 23]])), { code: 'log-damaged' });
});
