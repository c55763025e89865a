import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RecordBatchBuilder } from '../../src/log/record-batch-builder.ts';
import { BufferPool } from '../../src/log/buffer-pool.ts';
import { headerProblem, placeBatch, stampOf } from '../../src/log/embedded/stamp.ts';
import { BATCH_HEADER, MAX_BATCH, crcMatches } from '../../src/log/record-batch.ts';
import { BatchCursor } from '../../src/log/record-cursor.ts';
import { varintSize, varlongSize, writeVarint, writeVarlong } from '../../src/log/varint.ts';
import { draftOf, record, textOf } from '../contract/log-samples.ts';

const target = { topic: 't', partition: 3, stamp: stampOf('log', 't', 3) };

function builder(): RecordBatchBuilder {
  return new RecordBatchBuilder(target, new BufferPool(4 * MAX_BATCH));
}

test('the bytes are those of Kafka\'s record batch, field by field', () => {
  const batch = builder();
  batch.add(draftOf({ timestamp: 1_700_000_000_000, key: 'k', value: 'v', headers: { h: 'x' } }));
  batch.add(draftOf({ timestamp: 1_699_999_999_999, key: null, value: null }));
  const [finished] = batch.finish();
  assert.ok(finished);
  placeBatch(finished.bytes, finished.length, 5);
  const { high, low } = target.stamp;
  const hex = [
    '0000000000000005', // base offset
    (finished.length - 12).toString(16).padStart(8, '0'),
    '00000000', // partition leader epoch
    '02', // magic
    finished.bytes.readUInt32BE(17).toString(16).padStart(8, '0'),
    '0000', // attributes
    '00000001', // last offset delta
    '0000018bcfe56800', // base timestamp
    '0000018bcfe56800', // max timestamp
    high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0'), // producer id
    '0000', // producer epoch
    '00000005', // base sequence
    '00000002', // count
  ];
  const body = finished.bytes.subarray(BATCH_HEADER, finished.length).toString('hex');
  assert.equal(finished.bytes.subarray(0, BATCH_HEADER).toString('hex'), hex.join(''));
  // Length 12, attributes, timestamp and offset deltas, key, value, one header; then length 6, timestamp delta -1, offset delta 1, null, null, no header.
  assert.equal(body, '18000000026b027602026802780c000102010100');
  assert.equal(headerProblem(finished.bytes, 0, 5, target.stamp), undefined);
  assert.ok(crcMatches(finished.bytes, 0, finished.length));
});

test('a batch grows to a mebibyte and no further, but for a single record that is larger', () => {
  const batch = builder();
  const sizes = [400_000, 400_000, 400_000, 3_000_000, 10, 1_048_490, 10];
  for (const size of sizes) batch.add(draftOf(record('x'.repeat(size))));
  const finished = batch.finish();
  assert.deepEqual(finished.map(({ count }) => count), [2, 1, 1, 1, 1, 1]);
  for (const { length, count } of finished) assert.ok(length <= MAX_BATCH || count === 1, `${length} bytes, ${count} records`);
  assert.equal(finished.reduce((sum, { count }) => sum + count, 0), sizes.length);
  assert.equal(batch.count, sizes.length);
});

test('records survive the borders between batches', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 200_000 }), { minLength: 1, maxLength: 40 }), (sizes) => {
      const batch = builder();
      for (const [i, size] of sizes.entries()) batch.add(draftOf(record(`${i} ${'y'.repeat(size)}`, i * 1000)));
      const parts: Buffer[] = [];
      let offset = 7;
      for (const finished of batch.finish()) {
        placeBatch(finished.bytes, finished.length, offset);
        assert.ok(crcMatches(finished.bytes, 0, finished.length));
        assert.ok(finished.length <= MAX_BATCH);
        parts.push(Buffer.from(finished.bytes.subarray(0, finished.length)));
        offset += finished.count;
      }
      const bytes = Buffer.concat(parts);
      const cursor = new BatchCursor(bytes, bytes.length, { from: 7, next: offset });
      for (const [i, size] of sizes.entries()) {
        assert.ok(cursor.next());
        assert.equal(cursor.offset, 7 + i);
        assert.equal(cursor.timestamp, i * 1000);
        assert.equal(textOf(cursor.value)?.length, size + `${i} `.length);
        assert.ok(textOf(cursor.value)?.startsWith(`${i} `));
      }
      assert.equal(cursor.next(), false);
    }),
    { numRuns: 30 },
  );
});

test('what cannot be written is refused before anything is', () => {
  const batch = builder();
  for (const timestamp of [Number.NaN, 0.5, Infinity, 2 ** 51]) assert.throws(() => batch.add(draftOf(record('x', timestamp))), { code: 'internal' });
  assert.throws(() => batch.add(draftOf({ ...record('x'), headers: { 'ä': '' } })), { code: 'internal' });
  batch.add(draftOf(record('y')));
  assert.equal(batch.count, 1);
  const [finished] = batch.finish();
  assert.equal(finished?.count, 1);
  assert.throws(() => batch.finish(), { code: 'internal' });
  assert.throws(() => batch.add(draftOf(record('z'))), { code: 'internal' });
});

test('a varint takes the bytes that were counted for it', () => {
  const bytes = Buffer.alloc(16);
  fc.assert(
    fc.property(fc.oneof(fc.integer(), fc.constantFrom(0, -1, 63, 64, -64, -65, 2 ** 31 - 1, -(2 ** 31))), (value) => {
      assert.equal(writeVarint(bytes, 0, value), varintSize(value));
      assert.equal(writeVarlong(bytes, 0, value), varlongSize(value));
    }),
  );
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 52), max: 2 ** 52 }), (value) => {
      const size = varlongSize(value);
      assert.equal(writeVarlong(bytes, 0, value), size);
      let zigzag = 0n;
      for (let i = size - 1; i >= 0; i--) zigzag = (zigzag << 7n) | BigInt((bytes[i] ?? 0) & 0x7f);
      assert.equal((zigzag >> 1n) ^ -(zigzag & 1n), BigInt(value));
    }),
  );
});

test('timestamps far apart come back exactly', () => {
  const limit = 2 ** 51 - 1;
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.integer({ min: -limit, max: limit }), fc.constantFrom(limit, -limit, 0)), { minLength: 1, maxLength: 10 }), (times) => {
      const batch = builder();
      for (const time of times) batch.add(draftOf(record('x', time)));
      const [finished] = batch.finish();
      assert.ok(finished);
      placeBatch(finished.bytes, finished.length, 0);
      const cursor = new BatchCursor(finished.bytes, finished.length, { from: 0, next: times.length });
      for (const time of times) {
        assert.ok(cursor.next());
        assert.equal(cursor.timestamp, time);
      }
    }),
  );
});

test('the pool keeps no more than it may', () => {
  const pool = new BufferPool(10_000);
  const first = pool.take(100);
  assert.equal(first.length, 4096);
  pool.give(first);
  assert.equal(pool.take(4096), first);
  const large = pool.take(5 * MAX_BATCH);
  pool.give(large);
  assert.notEqual(pool.take(5 * MAX_BATCH), large);
  const several = [pool.take(1), pool.take(1), pool.take(1)];
  for (const buffer of several) pool.give(buffer);
  assert.deepEqual([pool.take(1), pool.take(1)].map((buffer) => several.includes(buffer)), [true, true]);
  assert.ok(!several.includes(pool.take(1)));
});
