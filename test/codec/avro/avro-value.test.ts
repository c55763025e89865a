import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { createAvroCodec } from '../../../src/codec/avro/index.ts';
import { newEncoded } from '../../../src/codec/codec.ts';
import type { TableSchema } from '../../../src/event/table.ts';
import { changeOf, plain, tableOf, textsByType } from '../../contract/change-samples.ts';
import { content, context, stored, withSchemas } from '../../contract/codec.ts';
import { readByAvsc } from './avsc-oracle.ts';

const codec = createAvroCodec({ types: 'natural' });
const micros = (text: string): bigint => BigInt(Date.parse(text)) * 1000n;
/** The typmod of `numeric(precision, scale)`. */
const numeric = (precision: number, scale: number): number => ((precision << 16) | (scale & 0x7ff)) + 4;

interface Case {
  readonly type: string;
  readonly oid: number;
  readonly typmod?: number;
  readonly text: string;
  /** As another reader finds it; null for what the type cannot say. */
  readonly avro: unknown;
}

const cases: readonly Case[] = [
  { type: 'boolean', oid: 16, text: 't', avro: true },
  { type: 'boolean', oid: 16, text: 'f', avro: false },
  { type: 'smallint', oid: 21, text: '-32768', avro: -32768 },
  { type: 'integer', oid: 23, text: '42', avro: 42 },
  { type: 'bigint', oid: 20, text: '9223372036854775807', avro: 9223372036854775807n },
  { type: 'bigint', oid: 20, text: '-9223372036854775808', avro: -9223372036854775808n },
  { type: 'bigint', oid: 20, text: '-1', avro: -1n },
  { type: 'bigint', oid: 20, text: '4503599627370496', avro: 4503599627370496n },
  { type: 'bigint', oid: 20, text: '9007199254740993', avro: 9007199254740993n },
  { type: 'oid', oid: 26, text: '4294967295', avro: 4294967295n },
  { type: 'real', oid: 700, text: '0.1', avro: Math.fround(0.1) },
  { type: 'real', oid: 700, text: '1.6777216e+07', avro: 16777216 },
  { type: 'real', oid: 700, text: '1e-45', avro: 1.401298464324817e-45 },
  { type: 'real', oid: 700, text: 'NaN', avro: NaN },
  { type: 'double precision', oid: 701, text: '0.1', avro: 0.1 },
  { type: 'double precision', oid: 701, text: '-0', avro: -0 },
  { type: 'double precision', oid: 701, text: '1e+20', avro: 1e20 },
  { type: 'double precision', oid: 701, text: '-Infinity', avro: -Infinity },
  { type: 'double precision', oid: 701, text: '0.30000000000000004', avro: 0.30000000000000004 },
  { type: 'numeric', oid: 1700, text: '0.00', avro: '0.00' },
  { type: 'numeric', oid: 1700, text: 'NaN', avro: 'NaN' },
  { type: 'numeric(10,2)', oid: 1700, typmod: numeric(10, 2), text: '-12345678.90', avro: Buffer.from('b669fd2e', 'hex') },
  { type: 'numeric(10,2)', oid: 1700, typmod: numeric(10, 2), text: '0.00', avro: Buffer.from([0]) },
  { type: 'numeric(10,2)', oid: 1700, typmod: numeric(10, 2), text: '1.28', avro: Buffer.from([0, 128]) },
  { type: 'numeric(10,2)', oid: 1700, typmod: numeric(10, 2), text: '-1.28', avro: Buffer.from([128]) },
  { type: 'numeric(10,2)', oid: 1700, typmod: numeric(10, 2), text: 'NaN', avro: null },
  { type: 'numeric(5,0)', oid: 1700, typmod: numeric(5, 0), text: '256', avro: Buffer.from([1, 0]) },
  { type: 'numeric(40,10)', oid: 1700, typmod: numeric(40, 10), text: '123456789012345678901234567890.0123456789', avro: Buffer.from('03a0c92075c0dbf3b8acbc5f968c04d515', 'hex') },
  { type: 'numeric(3,-2)', oid: 1700, typmod: numeric(3, -2), text: '12300', avro: '12300' },
  { type: 'numeric(2,5)', oid: 1700, typmod: numeric(2, 5), text: '0.00012', avro: '0.00012' },
  { type: 'bytea', oid: 17, text: '\\x00ff10', avro: Buffer.from([0, 255, 16]) },
  { type: 'bytea', oid: 17, text: '\\x', avro: Buffer.from([]) },
  { type: 'date', oid: 1082, text: '2024-02-29', avro: 19782 },
  { type: 'date', oid: 1082, text: '0001-01-01', avro: -719162 },
  { type: 'date', oid: 1082, text: '9999-12-31', avro: 2932896 },
  { type: 'date', oid: 1082, text: '10000-01-01', avro: null },
  { type: 'date', oid: 1082, text: '0001-12-31 BC', avro: null },
  { type: 'date', oid: 1082, text: '-infinity', avro: null },
  { type: 'time', oid: 1083, text: '23:59:59.999999', avro: 86399999999n },
  { type: 'time', oid: 1083, text: '24:00:00', avro: null },
  { type: 'timestamp', oid: 1114, text: '2024-02-29 12:34:56.789', avro: micros('2024-02-29T12:34:56.789Z') },
  { type: 'timestamp', oid: 1114, text: '1969-12-31 23:59:59.999999', avro: -1n },
  { type: 'timestamp', oid: 1114, text: '9999-12-31 23:59:59.999999', avro: 253402300799999999n },
  { type: 'timestamp', oid: 1114, text: '0001-01-01 00:00:00', avro: -62135596800000000n },
  { type: 'timestamp', oid: 1114, text: 'infinity', avro: null },
  { type: 'timestamptz', oid: 1184, text: '2024-02-29 12:34:56.789+00', avro: micros('2024-02-29T12:34:56.789Z') },
  { type: 'timestamptz', oid: 1184, text: 'infinity', avro: null },
  { type: 'timestamptz', oid: 1184, text: '2024-02-29 12:34:56+02', avro: null },
  { type: 'timetz', oid: 1266, text: '12:00:00+02', avro: '12:00:00+02' },
  { type: 'interval', oid: 1186, text: '1 mon -1 days', avro: '1 mon -1 days' },
  { type: 'jsonb', oid: 3802, text: '{"a": 1}', avro: '{"a": 1}' },
  { type: 'uuid', oid: 2950, text: '6f1b2c3d-0000-4000-8000-000000000001', avro: '6f1b2c3d-0000-4000-8000-000000000001' },
  { type: 'text[]', oid: 1009, text: '{a,NULL,"b c"}', avro: '{a,NULL,"b c"}' },
  { type: 'text', oid: 25, text: '\t\u0001\u{1f600}é', avro: '\t\u0001\u{1f600}é' },
];

const tableFor = (oid: number, typmod: number): Promise<TableSchema> => withSchemas(codec, tableOf([['id', 23], ['c', oid, typmod]]));

suite('each value stands as docs/formats.md says, to another reader of Avro too, and comes back as it was', () => {
  for (const { type, oid, typmod = -1, text, avro } of cases) {
    test(`${type} ${text.replaceAll('\u0001', '?')}`, async () => {
      const change = changeOf(await tableFor(oid, typmod), { op: 'c', new: ['1', text] });
      const record = stored(codec, change);
      const { after } = readByAvsc(content(record.value) as Buffer, change.table, 'value') as { after: { c: unknown } };
      assert.deepEqual(after.c, avro);
      assert.equal(record.extra.start >= 0, avro === null, 'what is null to others stands in the header');
      assert.deepEqual(plain(codec.decodeRow(record, change.table)), plain(change));
    });
  }
});

test('any numeric(p, s) comes back, and is the unscaled number to others', async () => {
  const digits = fc.integer({ min: 1, max: 40 }).chain((precision) => fc.tuple(fc.constant(precision), fc.integer({ min: 0, max: precision })));
  const drawn = digits.chain(([precision, scale]) => fc.tuple(fc.constant(precision), fc.constant(scale), fc.bigInt({ min: 1n - 10n ** BigInt(precision), max: 10n ** BigInt(precision) - 1n })));
  await fc.assert(
    fc.asyncProperty(drawn, async ([precision, scale, unscaled]) => {
      const number = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
      const text = `${unscaled < 0n ? '-' : ''}${number.slice(0, number.length - scale)}${scale === 0 ? '' : `.${number.slice(-scale)}`}`;
      const change = changeOf(await tableFor(1700, numeric(precision, scale)), { op: 'c', new: ['1', text] });
      const record = stored(codec, change);
      const { after } = readByAvsc(content(record.value) as Buffer, change.table, 'value') as { after: { c: Buffer } };
      assert.equal(BigInt.asIntN(after.c.length * 8, BigInt(`0x${after.c.toString('hex')}`)), unscaled);
      assert.deepEqual(plain(codec.decodeRow(record, change.table)), plain(change));
    }),
    { numRuns: 300 },
  );
});

test('keys that differ differ in Avro, whatever their type and value', async () => {
  const types = fc.constantFrom(...[...textsByType.keys()].map((oid) => [oid, -1] as const), [1700, numeric(10, 2)] as const);
  const texts = ([oid, typmod]: readonly [number, number]): fc.Arbitrary<string> =>
    typmod < 0 ? (textsByType.get(oid) as fc.Arbitrary<string>) : fc.oneof(fc.integer({ min: 0, max: 1e9 }).map((n) => (n / 100).toFixed(2)), fc.constantFrom('NaN', '99999999.99', '-99999999.99'));
  await fc.assert(
    fc.asyncProperty(types.chain((type) => fc.tuple(fc.constant(type), texts(type), texts(type))), async ([[oid, typmod], one, other]) => {
      // An offset is another text for the same instant, which is the same key.
      const instant = (text: string): string => (oid === 1184 && !text.endsWith('infinity') && !/\+00( BC)?$/.test(text) ? 'some other zone' : text);
      if (one === other || instant(one) !== one || instant(other) !== other) return;
      const table = await withSchemas(codec, tableOf([['id', oid, typmod]]));
      const key = (text: string): string | undefined => content(stored(codec, changeOf(table, { op: 'c', new: [text] })).key)?.toString('hex');
      assert.notEqual(key(one), key(other));
    }),
    { numRuns: 2000 },
  );
});

test('a key says infinity as the end of its numbers, and equal instants are equal keys', async () => {
  const read = async (oid: number, text: string, typmod = -1): Promise<unknown> => {
    const table = await withSchemas(codec, tableOf([['id', oid, typmod]]));
    return readByAvsc(content(stored(codec, changeOf(table, { op: 'c', new: [text] })).key) as Buffer, table, 'key')['id'];
  };
  assert.equal(await read(1082, 'infinity'), 2147483647);
  assert.equal(await read(1082, '0044-03-15 BC'), -735160);
  assert.equal(await read(1114, '-infinity'), -(2n ** 63n));
  assert.equal(await read(1184, '2024-02-29 12:00:00+00'), micros('2024-02-29T12:00:00Z'));
  assert.equal(await read(1184, '2024-02-29 08:30:00-03:30'), micros('2024-02-29T12:00:00Z'));
  assert.deepEqual(await read(1700, 'NaN', numeric(2, 0)), Buffer.from([100]));
});

test('a text that is not UTF-8, and a key in no form of Postgres, are refused', async () => {
  const table = await withSchemas(codec, tableOf([['id', 23], ['note', 25]]));
  const change = changeOf(table, { op: 'c', new: ['1', '~~~'] });
  const bytes = Uint8Array.from(change.bytes, (byte) => (byte === 0x7e ? 0xff : byte));
  const refused = { code: 'source-unreadable', message: /public\.items\.note/ };
  assert.throws(() => codec.encodeRow({ ...change, bytes }, table, context, newEncoded()), refused);
  const dated = await withSchemas(codec, tableOf([['id', 1082]]));
  assert.throws(() => stored(codec, changeOf(dated, { op: 'c', new: ['29.02.2024'] })), { code: 'source-unreadable', message: /public\.items\.id/ });
});

test('docs/formats.md shows what the codec writes', async () => {
  const page = readFileSync(new URL('../../../docs/formats.md', import.meta.url), 'utf8');
  const rows = [...page.slice(page.indexOf('## avro'), page.indexOf('## What stands in the header')).matchAll(/^\| `([^`]+)`[^|]*\| `([^`|]+)`[^|]*\|/gm)];
  assert.ok(rows.length >= 14, 'the table is gone');
  for (const [, type, avro] of rows) {
    const known = cases.find((each) => each.type === type);
    assert.ok(known, `no case has the type ${type}`);
    const table = await tableFor(known.oid, known.typmod ?? -1);
    const schema = JSON.parse(table.registered?.[0]?.schema ?? '') as { fields: { type: [string, { fields: { type: [string, unknown] }[] }] }[] };
    const written = schema.fields[0]?.type[1].fields[1]?.type[1];
    const { type: base, logicalType } = typeof written === 'string' ? { type: written, logicalType: undefined } : (written as { type: string; logicalType?: string });
    assert.equal(logicalType === undefined ? base : `${base}, ${logicalType}`, avro, type);
  }
});
