import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tupleOf } from '../../src/event/tuple.ts';
import { decodeValue, encodeValue } from '../../src/stream/canonical.ts';
import { RowReader } from '../../src/stream/value.ts';
import { tableOf } from '../contract/change-samples.ts';

test('integers are what Postgres says, at the ends of their types too', () => {
  const reader = new RowReader(tableOf([['a', 21], ['b', 23], ['c', 20]]));
  for (const [a, b, c] of [
    ['-32768', '-2147483648', '-9223372036854775808'], ['32767', '2147483647', '9223372036854775807'],
    ['0', '-1', '0'], ['10', '007', '-999999999999999'], ['5', '6', '1000000000000000'],
  ] as const) {
    assert.deepEqual({ ...reader.read(tupleOf([a, b, c]), 0) }, { a: Number(a), b: Number(b), c: BigInt(c) });
  }
});

test('a row has its columns in the order of their names, whatever they are called, none inherited, and absent ones are not there', () => {
  const reader = new RowReader(tableOf([['z', 25], ['__proto__', 25], ['constructor', 25], ['absent', 25], ['1', 23]]));
  const row = reader.read(tupleOf(['last', 'own', null, undefined, '7']), 0);
  assert.deepEqual(Object.keys(row), ['1', '__proto__', 'constructor', 'z']);
  assert.equal(row['__proto__'], 'own');
  assert.equal(row['toString'], undefined);
  const text = encodeValue(row);
  assert.equal(text, '{"1":7,"__proto__":"own","constructor":null,"z":"last"}');
  const kept = decodeValue(text) as typeof row;
  assert.equal(encodeValue(kept), text);
  assert.equal(kept['toString'], undefined);
  assert.deepEqual({ ...reader.read(tupleOf(['b', undefined, undefined, undefined, null]), 0) }, { z: 'b', 1: null }, 'nothing is left of the row before');
});

test('equal values have equal texts, whatever the order of their keys', () => {
  assert.equal(encodeValue({ b: 1, a: { d: 2n, c: 'x' } }), encodeValue({ a: { c: 'x', d: 2n }, b: 1 }));
});
