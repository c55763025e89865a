import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { divide, formatDecimal, parseDecimal } from '../../src/stream/decimal.ts';
import { addTo, newSum, sumOf } from '../../src/stream/sum.ts';
import { decodeValue, encodeValue } from '../../src/stream/canonical.ts';
import { orderKey } from '../../src/stream/order-key.ts';

const decimalText = fc.tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.nat(12)).map(([unscaled, scale]) => formatDecimal({ unscaled, scale }));

test('a decimal reads and writes as Postgres writes it, its scale kept', () => {
  for (const text of ['0', '0.00', '-0.5', '12345678901234567890.123456789', '1000', '-7']) assert.equal(formatDecimal(parseDecimal(text)!), text);
  assert.deepEqual(parseDecimal('1.5e3'), { unscaled: 1500n, scale: 0 });
  assert.deepEqual(parseDecimal('1e-3'), { unscaled: 1n, scale: 3 });
  for (const text of ['', '.', 'NaN', 'Infinity', '1,5', '0x1']) assert.equal(parseDecimal(text), null);
});

test('division rounds half away from zero', () => {
  const of = (a: string, b: bigint, scale: number): string => formatDecimal(divide(parseDecimal(a)!, b, scale));
  assert.equal(of('1', 3n, 4), '0.3333');
  assert.equal(of('2', 3n, 4), '0.6667');
  assert.equal(of('-2', 3n, 4), '-0.6667');
  assert.equal(of('0.125', 1n, 2), '0.13');
  assert.equal(of('-0.125', 1n, 2), '-0.13');
  assert.equal(of('10', -4n, 0), '-3');
});

test('a sum is what the parts left in it add up to, whatever came and went before', () => {
  const parts: fc.Arbitrary<readonly (string | bigint | number)[]> = fc.oneof(
    fc.array(decimalText), fc.array(fc.bigInt()),
    fc.array(fc.double({ noNaN: true, noDefaultInfinity: true, max: 1e300, min: -1e300 })),
  );
  fc.assert(
    fc.property(parts, parts, (kept, gone) => {
      fc.pre(kept.length === 0 || gone.length === 0 || typeof kept[0] === typeof gone[0]);
      let state = newSum();
      for (const part of [...gone, ...kept]) state = addTo(state, part, 1);
      for (const part of gone) state = addTo(state, part, -1);
      let alone = newSum();
      for (const part of kept.toReversed()) alone = addTo(alone, part, 1);
      assert.equal(sumOf(state), sumOf(alone));
    }),
  );
});

test('a sum of numbers is rounded once: it is the double nearest to the exact sum', () => {
  const sum = (...parts: number[]): unknown => sumOf(parts.reduce((state, part) => addTo(state, part, 1), newSum()));
  assert.equal(sum(0.1, 0.2), 0.30000000000000004);
  assert.equal(sum(1e308, 1e308, -1e308), 1e308);
  assert.equal(sum(1e16, 1, -1e16), 1);
  assert.equal(sum(5e-324, 5e-324), 1e-323);
  assert.equal(sum(1e308, 1e308), Infinity);
  assert.equal(sum(1, NaN), NaN);
  assert.equal(sum(-0.5, 0.25), -0.25);
});

test('a sum has the scale of the widest part that is in it, as in Postgres, and NaN and the infinities go again', () => {
  let state = ['1.50', '2', '0.125'].reduce((sum, part) => addTo(sum, part, 1), newSum());
  assert.equal(sumOf(state), '3.625');
  state = addTo(state, '0.125', -1);
  assert.equal(sumOf(state), '3.50');
  state = addTo(state, 'NaN', 1);
  assert.equal(sumOf(state), 'NaN');
  state = addTo(addTo(state, 'NaN', -1), 'Infinity', 1);
  assert.equal(sumOf(state), 'Infinity');
  assert.equal(sumOf(addTo(state, '-Infinity', 1)), 'NaN');
  assert.equal(sumOf(newSum()), null);
});

const kept: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, fc.string(), fc.double(), fc.bigInt(), fc.boolean(), fc.constant(null), fc.date({ noInvalidDate: true }), tie('array'), tie('object')),
  array: fc.array(fc.oneof(fc.constantFrom('$n', '$a', '$f', '$d'), tie('value'))),
  object: fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', '$n')), tie('value')),
})).value;

test('what the state keeps comes back as it was, and equal values have one text', () => {
  fc.assert(fc.property(kept, (value) => {
    const text = encodeValue(value);
    const back = decodeValue(text);
    assert.equal(encodeValue(back), text);
    assert.deepEqual(JSON.parse(JSON.stringify(back, tagged)), JSON.parse(JSON.stringify(value, tagged)));
  }));
  assert.equal(encodeValue({ b: 1, a: 2n, gone: undefined }), encodeValue({ a: 2n, b: 1 }));
  assert.notEqual(encodeValue(1), encodeValue(1n));
  assert.notEqual(encodeValue(['$n', '1']), encodeValue(1n));
});

/** What JSON cannot tell apart, told apart. */
function tagged(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `bigint ${value}`;
  return typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0)) ? `number ${Object.is(value, -0) ? '-0' : value}` : value;
}

test('functions and objects of classes are refused, and the message says what may be kept', () => {
  assert.throws(() => encodeValue({ a: () => 1 }), /cannot keep a function: rows hold strings/);
  assert.throws(() => encodeValue(new Map()), /cannot keep a Map/);
});

test('keys of the order compare as the values do', () => {
  const holds = <T>(values: fc.Arbitrary<T>, compare: (a: T, b: T) => number, numeric = false): void =>
    fc.assert(fc.property(values, values, (a, b) => assert.equal(Math.sign(Buffer.compare(orderKey(a, numeric), orderKey(b, numeric))), Math.sign(compare(a, b)))));
  holds(fc.double({ noNaN: true }), (a, b) => (a === b ? 0 : a < b ? -1 : 1));
  holds(fc.bigInt(), (a, b) => (a === b ? 0 : a < b ? -1 : 1));
  holds(fc.string({ unit: 'binary' }), (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  holds(decimalText, (a, b) => {
    const [left, right] = [parseDecimal(a)!, parseDecimal(b)!];
    const [x, y] = [left.unscaled * 10n ** BigInt(right.scale), right.unscaled * 10n ** BigInt(left.scale)];
    return x === y ? 0 : x < y ? -1 : 1;
  }, true);
  holds(fc.array(fc.string({ unit: 'binary', maxLength: 3 }), { maxLength: 3 }), (a, b) => {
    for (let i = 0; i < Math.min(a.length, b.length); i++) {
      const order = Buffer.compare(Buffer.from(a[i]!), Buffer.from(b[i]!));
      if (order !== 0) return order;
    }
    return a.length - b.length;
  });
  const numeric = ['-Infinity', '-1', '0', '0.5', 'Infinity', 'NaN'].map((text) => Buffer.from(orderKey(text, true)));
  assert.deepEqual([...numeric].reverse().sort(Buffer.compare), numeric);
});
