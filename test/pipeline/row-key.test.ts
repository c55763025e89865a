import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { tupleOf } from '../../src/event/tuple.ts';
import { isKeyChange, keyString, keyTexts } from '../../src/pipeline/row-key.ts';
import { anyText } from '../contract/change-samples.ts';
import { tableOf } from './harness.ts';

const table = tableOf('items', 2, { key: [1, 0] });

test('two keys are the same exactly if their bytes are, in whatever order the key has its columns', () => {
  const text = fc.oneof(anyText, fc.constantFrom('a', '\ufeffa', 'a"', '1', '1.0', '','","'));
  fc.assert(
    fc.property(text, text, text, text, (a, b, c, d) => {
      const [one, two] = [tupleOf([a, b]), tupleOf([c, d])];
      assert.deepEqual(keyTexts(table, one, 0), [b, a]);
      const same = a === c && b === d;
      assert.equal(keyString(keyTexts(table, one, 0)) === keyString(keyTexts(table, two, 0)), same);
      assert.equal(isKeyChange(table, { bytes: Buffer.concat([one, two]), oldAt: 0, newAt: one.length }), !same);
    }),
    { numRuns: 1000 },
  );
});
