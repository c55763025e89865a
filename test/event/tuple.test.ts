import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { tupleOf, tupleTexts } from '../../src/event/tuple.ts';
import { anyText } from '../contract/change-samples.ts';

test('the texts of a tuple are those that it was made of, U+FEFF at the beginning of one too', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(anyText, fc.constantFrom(null, undefined, '\ufeff', '\ufeffx')), { maxLength: 6 }), (texts) => {
      assert.deepEqual(tupleTexts(tupleOf(texts), 0), texts);
    }),
  );
});
