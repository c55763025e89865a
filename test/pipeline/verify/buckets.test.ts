import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Buckets } from '../../../src/event/digest.ts';
import { bucketCount, bucketsWithin, differingBuckets, differingRows, rowsIn } from '../../../src/pipeline/verify/buckets.ts';

const side = (counts: readonly number[], sums: readonly bigint[]): Buckets => ({ counts: Float64Array.from(counts), sums: BigUint64Array.from(sums) });

test('there are buckets of some hundred rows, a power of two of them, and not too many', () => {
  assert.deepEqual([undefined, 0, 1, 5000, 1_000_000, 10 ** 9].map(bucketCount), [4096, 16, 16, 32, 4096, 65_536]);
});

test('buckets differ by their count or by the sum of their hashes', () => {
  assert.deepEqual(differingBuckets(side([1, 2, 3, 4], [9n, 9n, 9n, 9n]), side([1, 2, 3, 5], [9n, 8n, 9n, 9n])), [1, 3]);
});

test('as many buckets are read as the limit allows on the fuller side, and always one', () => {
  const sides = [side([10, 10, 10, 10], [0n, 0n, 0n, 0n]), side([90, 0, 10, 0], [0n, 0n, 0n, 0n])];
  assert.deepEqual(bucketsWithin(110, [0, 1, 2, 3], sides), [0, 1, 2]);
  assert.deepEqual(bucketsWithin(109, [0, 1, 2, 3], sides), [0, 1]);
  assert.deepEqual(bucketsWithin(5, [0, 1], sides), [0]);
  assert.deepEqual(bucketsWithin(1000, [3, 1], sides), [3, 1]);
  assert.equal(rowsIn(sides[1]?.counts ?? new Float64Array(), [0, 2]), 100);
});

test('rows differ when one side lacks them or has another hash', () => {
  const a = new Map([['1', 'x'], ['2', 'y'], ['3', 'z']]);
  const b = new Map([['2', 'y'], ['3', 'other'], ['4', 'x']]);
  assert.deepEqual(differingRows(a, b), ['1', '3', '4']);
});
