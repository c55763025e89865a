import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { matchesFilter, matchesPattern, matchesText, splitPattern } from '../../src/event/table-pattern.ts';

const names = ['orders', 'orders_', 'order%', 'orderss', 'Orders', 'order', 'ordersx', 'order*', 'order?', 'o.rders', 'or"ders', ' orders', 'orders ', 'é', 'e\u0301', '🙂', '\\', 'select'];
const matched = (pattern: string): string[] => names.filter((name) => matchesPattern(pattern, { schema: 's', name }));

for (const [pattern, expected] of [
  ['s.orders', ['orders']],
  ['s.orders_', ['orders_']],
  ['s.order%', ['order%']],
  ['s.orders?', ['orders_', 'orderss', 'ordersx', 'orders ']],
  ['s."order*"', ['order*']],
  ['s."order?"', ['order?']],
  ['s."o.rders"', ['o.rders']],
  ['s."or""ders"', ['or"ders']],
  ['s. orders', [' orders']],
  ['s.?', ['é', '🙂', '\\']],
  ['s."order"?', ['orders', 'order%', 'order*', 'order?']],
  ['s.\\', ['\\']],
  ['S.orders', []],
] as const) {
  test(`I5: ${pattern} matches ${expected.length === 0 ? 'none' : expected.join(', ')} and nothing similar`, () => assert.deepEqual(matched(pattern), expected));
}

test('I2: a name in quotes matches itself and no other, whatever it is made of', () => {
  const name = fc.oneof(fc.constantFrom(...names), fc.string({ unit: 'binary', minLength: 1, maxLength: 8 }), fc.string({ unit: fc.constantFrom('*', '?', '"', '.', '%', '_', 'a', '\\'), minLength: 1, maxLength: 5 }));
  const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
  fc.assert(
    fc.property(name, name, name, name, (schema, table, otherSchema, otherTable) => {
      const pattern = `${quoted(schema)}.${quoted(table)}`;
      assert.ok(matchesPattern(pattern, { schema, name: table }));
      assert.equal(matchesPattern(pattern, { schema: otherSchema, name: otherTable }), schema === otherSchema && table === otherTable);
      assert.ok(matchesPattern('*.*', { schema, name: table }));
    }),
    { numRuns: 2000 },
  );
});

test('I2: a pattern that backtracks at every star ends at once', () => {
  assert.equal(matchesPattern(`s.${'*a'.repeat(60)}b`, { schema: 's', name: 'a'.repeat(63) }), false);
});

test('I2: what is not schema.table is no pattern, and matches nothing', () => {
  for (const pattern of ['', 'orders', '.orders', 's.', 'a.b.c', 's."open', '"s"."a"".b', '""', 's.""']) {
    assert.equal(splitPattern(pattern) !== null && pattern !== 's.""', false, pattern);
    assert.deepEqual(matched(pattern), []);
  }
});

test('I5: an exclusion takes away what it names and nothing that is called similarly', () => {
  const filter = { include: ['s.order*'], exclude: ['s.orders_'] };
  assert.deepEqual(names.filter((name) => matchesFilter(filter, { schema: 's', name })), ['orders', 'order%', 'orderss', 'order', 'ordersx', 'order*', 'order?', 'orders ']);
});

test('a prefix of messages stands for itself but for its wildcards; dots and quotes mean nothing', () => {
  for (const [pattern, text, fits] of [['outbox', 'outbox', true], ['outbox', 'outbox2', false], ['audit.*', 'audit.login', true], ['audit.*', 'auditx', false], ['"a"', '"a"', true], ['"a"', 'a', false], ['*', '', true], ['?', '🙂', true], ['a_b', 'axb', false]] as const) {
    assert.equal(matchesText(pattern, text), fits, `${pattern} ${text}`);
  }
});
