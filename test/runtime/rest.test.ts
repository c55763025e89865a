import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costOf, restAfter } from '../../src/runtime/rest.ts';

/** The rests behind questions that took so long. */
function rests(...took: readonly number[]): readonly number[] {
  let cost = 0;
  return took.map((ms) => restAfter((cost = costOf(ms, cost))));
}

test('a cheap question is asked every second; one that costs more so much less often that it takes a thirtieth of the time', () => {
  assert.deepEqual(rests(2, 3, 2), [1000, 1000, 1000]);
  assert.equal(rests(...Array.from({ length: 20 }, () => 400)).at(-1), 12_000);
});

test('one question that was held up delays the next one little, and none is further away than half a minute', () => {
  assert.deepEqual(rests(5000), [1000]);
  assert.deepEqual(rests(5, 5, 9000, 5), [1000, 1000, 1000, 1000]);
  assert.equal(rests(...Array.from({ length: 40 }, () => 60_000)).at(-1), 30_000);
});
