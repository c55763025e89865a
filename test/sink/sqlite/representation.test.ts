import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { type Form, formOf, type SqliteValue, toPostgresText, toSqlite } from '../../../src/sink/sqlite/representation.ts';
import { tableOf, textsByType } from '../../contract/change-samples.ts';

function stored(form: Form, text: string): SqliteValue {
  const bytes = Buffer.from(`<${text}>`);
  return toSqlite(form, bytes, 1, bytes.length - 1);
}

const cases: readonly (readonly [form: Form, text: string, value: SqliteValue])[] = [
  ['integer', '0', 0],
  ['integer', '-32768', -32768],
  ['integer', '4294967295', 4_294_967_295],
  ['integer', '999999999999999', 999_999_999_999_999],
  ['integer', '9007199254740993', 9_007_199_254_740_993n],
  ['integer', '9223372036854775807', 9_223_372_036_854_775_807n],
  ['integer', '-9223372036854775808', -9_223_372_036_854_775_808n],
  ['boolean', 't', 1],
  ['boolean', 'f', 0],
  ['float8', '0', 0],
  ['float8', '-0', '-0'],
  ['float8', '0.1', 0.1],
  ['float8', '1', 1],
  ['float8', '0.0001', 0.0001],
  ['float8', '1e-05', 0.000_01],
  ['float8', '123456789012345', 123_456_789_012_345],
  ['float8', '1e+15', 1e15],
  ['float8', '1.234567890123456e+15', 1_234_567_890_123_456],
  ['float8', '1e+100', 1e100],
  ['float8', '5e-324', 5e-324],
  ['float8', '-1.7976931348623157e+308', -Number.MAX_VALUE],
  ['float8', 'NaN', 'NaN'],
  ['float8', 'Infinity', 'Infinity'],
  ['float8', '-Infinity', '-Infinity'],
  ['float8', '1e400', '1e400'],
  ['float8', '1000000000000000', '1000000000000000'],
  ['float8', '0.10', '0.10'],
  ['float4', '123456', 123_456],
  ['float4', '1e+06', 1e6],
  ['float4', '1.234567e+06', 1_234_567],
  ['float4', '3.4028235e+38', 3.402_823_5e38],
  ['float4', '1e-45', 1e-45],
  ['bytea', '\\x', new Uint8Array(0)],
  ['bytea', '\\x00ff7f', Uint8Array.of(0, 255, 127)],
  ['text', '', ''],
  ['text', '\ufeff\u{10ffff}\u0001\ufffd', '\ufeff\u{10ffff}\u0001\ufffd'],
  ['text', '1234567890123456789012345678901234567890.10', '1234567890123456789012345678901234567890.10'],
];

suite('each value stands as documented and comes back as Postgres wrote it', () => {
  for (const [form, text, value] of cases)
    test(`${form} ${text.replaceAll('\u0001', '?')}`, () => {
      assert.deepEqual(stored(form, text), value);
      assert.equal(toPostgresText(form, value), text);
    });
});

test('any value of any type comes back, also through the integers that SQLite reads as bigint', () => {
  const typed = fc.constantFrom(...textsByType.keys()).chain((oid) => (textsByType.get(oid) as fc.Arbitrary<string>).map((text) => ({ oid, text })));
  fc.assert(
    fc.property(typed, ({ oid, text }) => {
      const form = formOf(tableOf([['c', oid]]).columns[0] as never);
      const value = stored(form, text);
      assert.equal(toPostgresText(form, value), text);
      if (form === 'integer' && typeof value === 'number') assert.equal(toPostgresText(form, BigInt(value)), text);
    }),
    { numRuns: 2000 },
  );
});

test('NULL is NULL in every form', () => {
  assert.equal(toPostgresText('integer', null), null);
});

test('a domain stands as the type under it', () => {
  const [column] = tableOf([['c', 90_001]]).columns;
  assert.equal(formOf({ ...column, baseTypeOid: 17 }), 'bytea');
});

test('what SQLite cannot hold exactly is refused, never bent', () => {
  for (const [form, text] of [['integer', ''], ['integer', '1.5'], ['integer', '-'], ['integer', '12345678901234567890123'], ['boolean', 'true'], ['bytea', 'abc'], ['bytea', '\\x0'], ['bytea', '\\xzz']] as const)
    assert.throws(() => stored(form, text), RangeError, `${form} ${text}`);
  assert.throws(() => toSqlite('text', Buffer.from([0x61, 0xff]), 0, 2), RangeError);
  assert.throws(() => toSqlite('text', Buffer.alloc(0), 0, 1_000_000_001), RangeError);
});
