import assert from 'node:assert/strict';
import { test } from 'node:test';
import { murmur2, partitionOf } from '../../src/log/murmur2.ts';
import { sliceOf } from '../contract/log-samples.ts';

test('the hash is that of Kafka\'s own clients', () => {
  // From the tests of Apache Kafka (UtilsTest.testMurmur2).
  const known: readonly (readonly [string, number])[] = [
    ['21', -973_932_308], ['foobar', -790_332_482], ['a-little-bit-long-string', -985_981_536], ['a-little-bit-longer-string', -1_486_304_829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58_897_971], ['abc', 479_470_107],
  ];
  for (const [text, hash] of known) assert.equal(murmur2(sliceOf(text)), hash, text);
});

test('a key of any bytes has one of the partitions, and none at all the first', () => {
  for (const partitions of [1, 2, 7, 100]) {
    for (const text of ['', '\xff', '\x80\x80\x80\x80\x80', 'key']) assert.ok(partitionOf(sliceOf(text), partitions) < partitions);
    assert.equal(partitionOf(sliceOf(null), partitions), 0);
  }
});
