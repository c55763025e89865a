import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { rowText } from '../../src/event/row-text.ts';

test('NULL, the text NULL in any case and the empty text are three different values', () => {
  assert.equal(rowText([null, 'NULL', 'null', 'Null', '']), '{NULL,"NULL","null","Null",""}');
});

test('quotes and backslashes inside a value are escaped, and what separates values is quoted', () => {
  assert.equal(rowText(['a"b', 'a\\b', 'a,b', '{a}', 'a b', 'a\tb\nc\rd\ve\ff']), '{"a\\"b","a\\\\b","a,b","{a}","a b","a\tb\nc\rd\ve\ff"}');
});

test('white space outside of ASCII is a character like any other', () => {
  assert.equal(rowText(['a\u00a0b', '\u2003', '\u0085']), '{a\u00a0b,\u2003,\u0085}');
});

test('a table without columns has rows without a value', () => {
  assert.equal(rowText([]), '{}');
});

/** Made of what could be taken for something else. */
const value = fc.oneof(fc.constant(null), fc.array(fc.constantFrom('N', 'ULL', 'null', ',', '"', '\\', '{', '}', ' ', '\n', '-', 'é')).map((parts) => parts.join('')));

test('two rows have one text only if they are the same row', () => {
  fc.assert(
    fc.property(fc.array(value, { maxLength: 4 }), fc.array(value, { maxLength: 4 }), (a, b) => {
      assert.equal(rowText(a) === rowText(b), JSON.stringify(a) === JSON.stringify(b));
    }),
    { numRuns: 5000 },
  );
});
