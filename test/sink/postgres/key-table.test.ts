import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { tupleOf } from '../../../src/event/tuple.ts';
import { KeyTable } from '../../../src/sink/postgres/key-table.ts';

test('keys get numbers in the order in which they first come, as in a Map of their texts', () => {
  const rows = fc.array(fc.tuple(fc.constantFrom('a', 'ab', '', 'b', 'é'), fc.string(), fc.constantFrom('c', 'bc', '')), { maxLength: 300 });
  fc.assert(
    fc.property(rows, (list) => {
      const table = new KeyTable([2, 0], { nullable: false });
      const model = new Map<string, number>();
      for (const row of list) {
        const key = JSON.stringify([row[0], row[2]]);
        if (!model.has(key)) model.set(key, model.size);
        assert.equal(table.number(tupleOf(row), 0), model.get(key));
        assert.equal(table.size, model.size);
      }
    }),
  );
});

test('it grows over thousands of keys and bytes', () => {
  const table = new KeyTable([0], { nullable: false });
  for (const round of [0, 1]) {
    for (let i = 0; i < 20_000; i++) assert.equal(table.number(tupleOf([`${i} ${'x'.repeat(i % 50)}`]), 0), i, `round ${round}`);
  }
  assert.equal(table.size, 20_000);
});

test('NULL is a value of its own in whole rows, and an error in a key', () => {
  const rows = new KeyTable([0, 1], { nullable: true });
  const list = [[null, ''], ['', null], [null, null], ['', '']].map((row) => rows.number(tupleOf(row), 0));
  assert.deepEqual(list, [0, 1, 2, 3]);
  const keys = new KeyTable([0], { nullable: false });
  assert.throws(() => keys.number(tupleOf([null]), 0), { code: 'internal' });
});
