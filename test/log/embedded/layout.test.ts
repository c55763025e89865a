import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { escapeTopic, numberOf, segmentPath } from '../../../src/log/embedded/layout.ts';

test('a topic\'s folder name is its own, where case is folded too', () => {
  const character = fc.oneof(fc.constantFrom('a', 'A', '%', '~', '.', '/', '\\', '\0', ' ', 'ß', 'ſ', 'ı', 'é', 'e\u0301', 'K', '_', '-'), fc.string({ unit: 'binary', minLength: 1, maxLength: 2 }));
  const topic = fc.oneof(fc.array(character, { minLength: 1, maxLength: 6 }), fc.array(character, { minLength: 60, maxLength: 90 })).map((parts) => parts.join(''));
  fc.assert(
    fc.property(topic, topic, (a, b) => {
      const [left, right] = [escapeTopic(a), escapeTopic(b)];
      assert.equal(left.toLowerCase() === right.toLowerCase(), a === b);
    }),
    { numRuns: 1000 },
  );
});

test('a folder name holds nothing that a file system or a shell gives a meaning', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }), (topic) => {
      const name = escapeTopic(topic);
      assert.match(name, /^[a-z0-9_%-][A-Za-z0-9_.%~-]*$/);
      assert.ok(name.length <= 200);
      assert.ok(!name.startsWith('~'));
    }),
  );
  for (const [topic, name] of [
    ['shop.public.orders', 'shop.public.orders'],
    ['shop.Public.orders', 'shop.%50ublic.orders'],
    ['.', '%2E'],
    ['..', '%2E.'],
    ['../../etc', '%2E.%2F..%2Fetc'],
    ['shop.public.größe', 'shop.public.gr%C3%B6%C3%9Fe'],
    ['~new-x', '%7Enew-x'],
  ] as const) assert.equal(escapeTopic(topic), name);
});

test('only file names with all twenty digits are taken for segments', () => {
  assert.equal(segmentPath('/d', 42), '/d/00000000000000000042.log');
  assert.equal(numberOf('00000000000000000042.log', '.log'), 42);
  for (const name of ['42.log', '00000000000000000042.index', '0000000000000000004x.log', '00000000000000000042.log~', '99999999999999999999.log', '-0000000000000000042.log']) {
    assert.equal(numberOf(name, '.log'), undefined, name);
  }
});
