import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import { partitionPath } from '../../../src/log/embedded/layout.ts';
import type { LogReader, LogWriter } from '../../../src/log/log.ts';
import { batchOf, readAll, type PlainRecord } from '../../contract/log-samples.ts';
import { tempDirectory } from '../../support/temp.ts';
import { a0, closed, crashed, segmentsOf } from './folders.ts';

const everything = { below: Number.MAX_SAFE_INTEGER, deleteRetention: 0 };
const hour = 3_600_000;

function keyed(key: string | null, value: string | null, timestamp = 0): PlainRecord {
  return { key, value, timestamp };
}

/** What a reader from the beginning has in the end: of each key its last value; and all that has no key. */
async function lastValues(reader: LogReader): Promise<{ latest: Map<string, string>; keyless: (string | null)[] }> {
  const latest = new Map<string, string>();
  const keyless: (string | null)[] = [];
  for (const { key, value } of await readAll(reader, a0)) {
    if (key === null) keyless.push(value);
    else if (value === null) latest.delete(key);
    else latest.set(key, value);
  }
  return { latest, keyless };
}

test('compaction keeps the newest record of each key with its offset, and all that have none', async () => {
  const directory = await closed(async (writer) => {
    for (const [i, key] of ['x', 'y', null, 'x', 'z', 'y', 'x'].entries()) await writer.append([batchOf(writer, a0, [keyed(key, `${i}`)])]);
    writer.roll?.(...a0);
    await writer.append([batchOf(writer, a0, [keyed('active', '7')])]);
    const { before, after } = await writer.compact!(...a0, everything);
    assert.ok(after.bytes < before.bytes);
    assert.deepEqual(writer.range(...a0), { start: 0, end: 8 });
  });
  const reader = await openEmbeddedLog({ directory }).openReader();
  assert.deepEqual((await readAll(reader, a0)).map(({ offset, key, value }) => [offset, key, value]), [[2, null, '2'], [4, 'z', '4'], [5, 'y', '5'], [6, 'x', '6'], [7, 'active', '7']]);
  // From any offset, whether there is still a record or not; one batch at a time as well.
  for (let offset = 0; offset <= 8; offset++) {
    const cursor = await reader.fetch(...a0, offset, 1);
    assert.equal(cursor.next() ? cursor.offset : undefined, [2, 2, 2, 4, 4, 5, 6, 7, undefined][offset]);
  }
  await reader.close();
});

test('a tombstone goes once it has stood for its time since what it buries went, and not before', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 10 * hour });
  const directory = join(await tempDirectory(t), 'log');
  const writer = await openEmbeddedLog({ directory }).openWriter();
  await writer.createTopic({ topic: 'a', partitions: 1 });
  const reader = await openEmbeddedLog({ directory }).openReader();
  const compact = async (): Promise<unknown[]> => {
    writer.roll(...a0);
    await writer.append([batchOf(writer, a0, [keyed(null, 'roll')])]);
    await writer.compact(...a0, { below: Number.MAX_SAFE_INTEGER, deleteRetention: hour, says: ({ value }) => (value.end - value.start === 4 && value.bytes[value.start] === 0x67 ? 'delete' : 'value') });
    return (await readAll(reader, a0)).filter(({ key }) => key !== null).map(({ key, value }) => [key, value]);
  };
  await writer.append([batchOf(writer, a0, [keyed('a', '1'), keyed('b', '1'), keyed('c', '1'), keyed('b', null), keyed('c', 'gone')])]);
  assert.deepEqual(await compact(), [['a', '1'], ['b', null], ['c', 'gone']], 'what was written long ago, but has been compacted only now');
  t.mock.timers.setTime(11 * hour - 1);
  assert.deepEqual(await compact(), [['a', '1'], ['b', null], ['c', 'gone']]);
  t.mock.timers.setTime(11 * hour);
  assert.deepEqual(await compact(), [['a', '1']]);
  await reader.close();
  await writer.close();
});

test('a record that says that every key is gone takes all before it along, and goes as a tombstone does', async () => {
  const says = ({ value }: { value: { bytes: Uint8Array; start: number } }): 'clear' | 'value' => (value.bytes[value.start] === 0x74 ? 'clear' : 'value');
  const directory = await closed(async (writer, folder) => {
    await writer.append([batchOf(writer, a0, [keyed('a', '1'), keyed(null, '2'), keyed('b', '3'), keyed(null, 'truncate'), keyed('b', '4')])]);
    await writer.compact!(...a0, { ...everything, roll: true, says, deleteRetention: hour });
    const reader = await openEmbeddedLog({ directory: folder }).openReader();
    assert.deepEqual((await readAll(reader, a0)).map(({ value }) => value), ['truncate', '4']);
    await reader.close();
    await writer.compact!(...a0, { ...everything, roll: true, says });
  });
  const reader = await openEmbeddedLog({ directory }).openReader();
  assert.deepEqual((await readAll(reader, a0)).map(({ value }) => value), ['4']);
  assert.deepEqual(await reader.range(...a0), { start: 0, end: 5 });
  await reader.close();
});

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('append' as const), records: fc.array(fc.record({ key: fc.option(fc.integer({ min: 0, max: 9 }), { freq: 8 }), value: fc.option(fc.string({ maxLength: 300 }), { freq: 5 }) }), { minLength: 1, maxLength: 8 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('compact' as const), below: fc.double({ min: 0, max: 1, noNaN: true }), memory: fc.constantFrom(30, 60, 120, 10_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('merge' as const, 'reopen' as const, 'roll' as const) }) },
);

test('whatever is appended, compacted, merged and opened again: read from the beginning, the last value of each key is the same', async (t) => {
  const base = await tempDirectory(t);
  let round = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const directory = join(base, String(round++));
      const log = openEmbeddedLog({ directory, segmentSize: 600, journalSize: 3000 });
      let writer = await log.openWriter();
      await writer.createTopic({ topic: 'a', partitions: 1 });
      const latest = new Map<string, string>();
      const keyless: string[] = [];
      // Stays open all the while, and so meets every change of the files on its way.
      const follower = await openEmbeddedLog({ directory }).openReader();
      for (const doing of steps) {
        if (doing.kind === 'append') {
          const records = doing.records.map(({ key, value }) => keyed(key === null ? null : `k${key}`, key === null ? value ?? '' : value));
          await writer.append([batchOf(writer, a0, records)]);
          for (const { key, value } of records) {
            if (key === null) keyless.push(value as string);
            else if (value === null) latest.delete(key);
            else latest.set(key, value);
          }
        } else if (doing.kind === 'compact') {
          const { start, end } = writer.range(...a0);
          await writer.compact(...a0, { below: start + Math.round((end - start) * doing.below), deleteRetention: 0, memory: doing.memory });
        } else if (doing.kind === 'merge') await writer.merge(...a0, 2);
        else if (doing.kind === 'roll') writer.roll(...a0);
        else {
          await writer.close();
          writer = await log.openWriter();
        }
        assert.deepEqual(await lastValues(follower), { latest, keyless });
      }
      await writer.close();
      await follower.close();
    }),
    { numRuns: Number(process.env['TAILRACE_COMPACTION_ROUNDS'] ?? 60) },
  );
});

test('segments that lie side by side and are small become one, byte by byte what they were, and the offsets stay', async () => {
  let before: PlainRecord[] = [];
  const directory = await closed(async (writer) => {
    for (let i = 0; i < 40; i++) await writer.append([batchOf(writer, a0, [keyed(`k${i % 3}`, `${i}`, 1000 + i)])]);
  }, { segmentSize: 1 });
  const bytes = segmentsOf(directory, a0).slice(0, -1).map((path) => readFileSync(join(directory, path)));
  const log = openEmbeddedLog({ directory });
  const reader = await log.openReader();
  before = await readAll(reader, a0);
  assert.equal(await reader.offsetAt(...a0, 1020), 20);
  const writer = await log.openWriter();
  const { before: from, after } = await writer.merge(...a0, 2);
  assert.deepEqual([from.segments, after.segments, after.bytes], [40, 2, from.bytes]);
  assert.deepEqual(readFileSync(join(directory, segmentsOf(directory, a0)[0] ?? '')), Buffer.concat(bytes));
  assert.deepEqual(await readAll(reader, a0), before);
  assert.equal(await reader.offsetAt(...a0, 1020), 20, 'what a reader knew of a segment of that name does not count any more');
  assert.deepEqual(await writer.merge(...a0, 2), { before: after, after });
  await reader.close();
  await writer.close();
});

for (const forgets of [false, true]) {
  test(`L18: a reader that stands in a segment goes on while that is compacted, merged away or removed, ${forgets ? 'also when it had to close the file' : 'with the file that it has open'}`, async (t) => {
    const directory = join(await tempDirectory(t), 'log');
    let writer = await openEmbeddedLog({ directory, segmentSize: 2000 }).openWriter();
    await writer.createTopic({ topic: 'a', partitions: 1 });
    // More files than a reader has open at a time.
    await writer.createTopic({ topic: 'b', partitions: 130 });
    await writer.append(Array.from({ length: 130 }, (_, i) => batchOf(writer, ['b', i], [keyed(null, 'x')])));
    for (let i = 0; i < 200; i++) await writer.append([batchOf(writer, a0, [keyed(`k${i % 50}`, `${i}${'x'.repeat(50)}`)])]);
    await writer.close();
    writer = await openEmbeddedLog({ directory }).openWriter();
    const froms = [0, 5, 60, 100, 149, 150, 170];
    const readers = await Promise.all(froms.map(() => openEmbeddedLog({ directory }).openReader()));
    const nexts: number[] = [];
    // Each has a file open, and a place in it.
    for (const [i, from] of froms.entries()) nexts.push((await readers[i]!.fetch(...a0, from, 1)).nextOffset);
    await writer.compact(...a0, { ...everything, below: 90 });
    await writer.merge(...a0, 2);
    await writer.compact(...a0, everything);
    for (const [i, reader] of readers.entries()) {
      const others = forgets ? 130 : 0;
      for (let partition = 0; partition < others; partition++) await reader.fetch('b', partition, 0, 1);
      const seen = new Map((await readAll(reader, a0, { from: nexts[i]!, maxBytes: 500 })).map(({ key, offset }) => [key, offset]));
      for (let offset = Math.max(150, nexts[i]!); offset < 200; offset++) assert.equal(seen.get(`k${offset % 50}`), offset);
      await reader.close();
    }
    await writer.close();
  });
}

test('after a crash everything is compacted and merged as it was, although the journal still holds what was there before', async () => {
  const options = { segmentSize: 400 };
  let before: PlainRecord[] = [];
  const directory = await crashed(async (writer, folder) => {
    for (let i = 0; i < 30; i++) await writer.append([batchOf(writer, a0, [keyed(`k${i % 4}`, `${i}`)])]);
    await writer.compact!(...a0, { ...everything, below: 20 });
    await writer.merge!(...a0, 2);
    for (let i = 30; i < 50; i++) await writer.append([batchOf(writer, a0, [keyed(`k${i % 4}`, `${i}`)])]);
    await writer.compact!(...a0, { ...everything, below: 40 });
    await writer.trim(...a0, 10);
    const reader = await openEmbeddedLog({ directory: folder }).openReader();
    before = await readAll(reader, a0);
    await reader.close();
  }, options);
  const writer = await openEmbeddedLog({ ...options, directory }).openWriter();
  const reader = await openEmbeddedLog({ directory }).openReader();
  assert.deepEqual(await readAll(reader, a0), before);
  assert.ok(before.length < 25);
  await reader.close();
  await writer.close();
});

test('a log says that it was compacted, so that a version that cannot read it refuses it; one that was only merged can be read by all', async () => {
  const versionOf = (directory: string): unknown => (JSON.parse(readFileSync(join(directory, 'log.json'), 'utf8')) as { version: unknown }).version;
  const fill = async (writer: LogWriter): Promise<void> => {
    for (let i = 0; i < 10; i++) await writer.append([batchOf(writer, a0, [keyed('k', `${i}`)])]);
  };
  const merged = await closed(async (writer) => {
    await fill(writer);
    await writer.merge!(...a0, 2);
  }, { segmentSize: 1 });
  assert.equal(versionOf(merged), 1);
  const compacted = await closed(async (writer) => {
    await fill(writer);
    await writer.compact!(...a0, everything);
  }, { segmentSize: 1 });
  assert.equal(versionOf(compacted), 2);
  assert.deepEqual(readdirSync(partitionPath(compacted, ...a0)).filter((name) => name.startsWith('~')), []);
});
