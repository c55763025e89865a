import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32c } from '@node-rs/crc32';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import type { LogReader } from '../../../src/log/log.ts';
import { TailraceError } from '../../../src/runtime/errors.ts';
import { batchOf, readAll, record, textOf, valuesOf } from '../../contract/log-samples.ts';
import { eventually } from '../../support/wait.ts';
import { a0, appendGroup, closed, copyOf, crashed, edit, expected, framesOf, journalOf, restore, segmentsOf } from './folders.ts';

const groups = 4;
const good = await closed(async (writer) => {
  for (let n = 0; n < groups; n++) await appendGroup(writer, n);
});
const [segment = ''] = segmentsOf(good, a0);
const size = readFileSync(join(good, segment)).length;
/** All batches of the segment have the same length. */
const batch = size / groups;

async function reading<T>(directory: string, read: (reader: LogReader) => Promise<T>): Promise<T> {
  const reader = await openEmbeddedLog({ directory }).openReader();
  try {
    return await read(reader);
  } finally {
    await reader.close();
  }
}

/** Reads batch by batch until the damage: what came before, and the error. */
async function readUntilDamage(directory: string): Promise<{ values: (string | null)[]; message: string }> {
  return reading(directory, async (reader) => {
    const values: (string | null)[] = [];
    for (let offset = 0; ; ) {
      try {
        const cursor = await reader.fetch('a', 0, offset, 1024 * 1024);
        if (cursor.nextOffset === offset) return { values, message: 'no damage was found' };
        while (cursor.next()) values.push(textOf(cursor.value));
        offset = cursor.nextOffset;
      } catch (error) {
        assert.ok(error instanceof TailraceError && error.code === 'log-damaged', String(error));
        return { values, message: error.message };
      }
    }
  });
}

test('a bit that changed in a batch is found by whoever reads it, whatever bit it is', async () => {
  const copy = await copyOf(good);
  for (let bit = batch * 8; bit < 2 * batch * 8; bit++) {
    edit(copy, segment, (bytes) => {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
    });
    const { values, message } = await readUntilDamage(copy);
    assert.deepEqual(values, expected(1).a, `bit ${bit}`);
    assert.match(message, new RegExp(`0{20}\\.log, byte ${batch}: `));
  }
});

test('a reader that begins behind the damage is not kept from going on', async () => {
  const copy = await copyOf(good);
  edit(copy, segment, (bytes) => {
    bytes[batch + 70]! ^= 1;
  });
  assert.deepEqual(await reading(copy, async (reader) => (await readAll(reader, a0, { from: 4 })).map(({ value }) => value)), ['2 x', '2 y', '3 x', '3 y']);
});

test('damage in a segment that is full is found too, and so is one that lacks its end', async () => {
  const rolled = await closed(async (writer) => {
    for (let n = 0; n < 40; n++) await appendGroup(writer, n);
  }, { segmentSize: 10 * batch + 100 });
  const first = segmentsOf(rolled, a0)[0] ?? '';
  assert.ok(segmentsOf(rolled, a0).length > 2);
  const inFirst = Math.floor(readFileSync(join(rolled, first)).length / batch);
  for (const change of ['bit', 'within a batch', 'between batches', 'length'] as const) {
    const copy = await copyOf(rolled);
    edit(copy, first, (bytes) => {
      if (change === 'within a batch') return bytes.subarray(0, -1);
      if (change === 'between batches') return bytes.subarray(0, batch * 3);
      bytes[(inFirst - 1) * batch + (change === 'bit' ? 65 : 9)]! ^= 1;
      return bytes;
    });
    const { values, message } = await readUntilDamage(copy);
    const whole = change === 'between batches' ? 3 : inFirst - 1;
    assert.deepEqual(values, expected(whole).a, change);
    assert.match(message, new RegExp(`0{20}\\.log, byte ${whole * batch}: `), change);
    // A search by time looks at headers only, but does not pass over what it cannot see.
    if (change !== 'bit') await assert.rejects(reading(copy, (reader) => reader.offsetAt('a', 0, 35)), { code: 'log-damaged' });
  }
});

test('a batch from another topic, or from another place, is refused although its checksum fits', async () => {
  const copy = await copyOf(good);
  const bytes = readFileSync(join(good, segment));
  // The same bytes in another topic.
  const other = await closed(async (writer) => {
    await writer.createTopic({ topic: 'b', partitions: 2 });
    for (const place of [['b', 0], ['b', 1]] as const) await writer.append([batchOf(writer, place, [record('0 x'), record('0 y')])]);
  });
  edit(other, segmentsOf(other, ['b', 1])[0] ?? '', () => readFileSync(join(other, segmentsOf(other, ['b', 0])[0] ?? '')));
  await assert.rejects(reading(other, (reader) => reader.fetch('b', 1, 0, 1000)), { code: 'log-damaged', message: /another log, topic or partition/ });
  // The first batch instead of the second, as it is and with the offset that is due, which lies outside the checksum.
  edit(copy, segment, (target) => {
    bytes.copy(target, batch, 0, batch);
  });
  assert.match((await readUntilDamage(copy)).message, /begins at offset 0, not 2/);
  edit(copy, segment, (target) => {
    target.writeBigInt64BE(2n, batch);
  });
  const { values, message } = await readUntilDamage(copy);
  assert.match(message, /written for another offset/);
  assert.deepEqual(values, expected(1).a);
});

test('a length that cannot be is refused at once, without memory for it', async () => {
  const copy = await copyOf(good);
  for (const length of [0x7fffffff, 0, -1, -0x80000000, 48, 10_000]) {
    restore(good, copy, segment);
    edit(copy, segment, (bytes) => {
      bytes.writeInt32BE(length, batch + 8);
    });
    const { values, message } = await readUntilDamage(copy);
    assert.match(message, /the batch claims/, String(length));
    assert.deepEqual(values, expected(1).a);
  }
});

test('a record with a length that cannot be ends the reading, even where the checksum fits', async () => {
  for (const varint of ['feffffff0f', '00', '01', 'ffffffffff7f', 'c801']) {
    const copy = await copyOf(good);
    edit(copy, segment, (bytes) => {
      Buffer.from(varint, 'hex').copy(bytes, batch + 61);
      bytes.writeUInt32BE(crc32c(bytes.subarray(batch + 21, 2 * batch)), batch + 17);
    });
    const { values, message } = await readUntilDamage(copy);
    assert.match(message, /a record behind offset \d+ has a length of/, varint);
    assert.deepEqual(values, expected(1).a);
  }
});

test('a last batch whose checksum stays wrong is damage; one that gets right meanwhile was only being written', async () => {
  const copy = await copyOf(good);
  const path = join(copy, segment);
  const right = readFileSync(path);
  const wrong = Buffer.from(right);
  wrong[size - 1]! ^= 1;
  writeFileSync(path, wrong);
  assert.deepEqual((await readUntilDamage(copy)).values, expected(groups - 1).a);
  writeFileSync(path, wrong);
  const fetch = reading(copy, (reader) => reader.fetch('a', 0, (groups - 1) * 2, 1000));
  // It has been read once by now.
  await new Promise(setImmediate);
  writeFileSync(path, right);
  assert.equal((await fetch).nextOffset, groups * 2);
});

test('a last batch that is not all there is not there yet, cut at every byte', async () => {
  const copy = await copyOf(good);
  for (let bytes = size - 1; bytes >= size - batch; bytes--) {
    truncateSync(join(copy, segment), bytes);
    assert.deepEqual(await reading(copy, (reader) => valuesOf(reader, a0)), expected(groups - 1).a);
    assert.deepEqual(await reading(copy, (reader) => reader.range('a', 0)), { start: 0, end: (groups - 1) * 2 });
  }
  await assert.rejects(reading(copy, (reader) => reader.fetch('a', 0, groups * 2, 10)), { code: 'offset-out-of-range' });
});

test('zeros at the end are the end, and nobody spins on them', async () => {
  const copy = await copyOf(good);
  appendFileSync(join(copy, segment), Buffer.alloc(200_000));
  assert.deepEqual(await reading(copy, (reader) => valuesOf(reader, a0)), expected(groups).a);
  assert.deepEqual(await reading(copy, (reader) => reader.range('a', 0)), { start: 0, end: groups * 2 });
  await reading(copy, async (reader) => {
    const before = performance.now();
    await reader.wait('a', 0, groups * 2, new AbortController().signal);
    // Only that it waited: an immediate return would make its caller spin.
    assert.ok(performance.now() - before > 100);
  });
});

test('nonsense at the end is damage to a reader', async () => {
  const copy = await copyOf(good);
  appendFileSync(join(copy, segment), randomBytes(300));
  const { values, message } = await readUntilDamage(copy);
  assert.deepEqual(values, expected(groups).a);
  assert.match(message, new RegExp(`byte ${size}: `));
});

test('whatever happens to the bytes of a segment or its index, a reader ends and returns nothing that was not appended', async () => {
  const rolled = await closed(async (writer) => {
    for (let n = 0; n < 120; n++) await appendGroup(writer, n);
  }, { segmentSize: 5000 });
  const copy = await copyOf(rolled);
  const paths = segmentsOf(rolled, a0).flatMap((path) => [path, path.replace('.log', '.index')]);
  const right = expected(120).a;
  await fc.assert(
    fc.asyncProperty(mutations(paths.length), async (changes) => {
      for (const path of paths) restore(rolled, copy, path);
      for (const change of changes) edit(copy, paths[change.file] ?? '', (bytes) => mutate(bytes, change));
      await reading(copy, async (reader) => {
        const { start, end } = await reader.range('a', 0);
        for (const from of [start, Math.floor((start + end) / 2)]) {
          const read = await readSome(reader, from);
          for (const { offset, value } of read) assert.equal(value, right[offset]);
        }
      });
    }),
    { numRuns: Number(process.env['TAILRACE_FUZZ_RUNS'] ?? 300) },
  );
});

test('whatever happens to the bytes of the journal, opening ends, and shows whole groups or refuses', async () => {
  const torn = await crashed(async (writer) => {
    for (let n = 0; n < 8; n++) await appendGroup(writer, n);
  });
  const path = journalOf(torn);
  const frames = framesOf(torn, path);
  await fc.assert(
    fc.asyncProperty(mutations(1), async (changes) => {
      const copy = await copyOf(torn);
      for (const change of changes) edit(copy, path, (bytes) => mutate(bytes, change));
      try {
        const writer = await openEmbeddedLog({ directory: copy }).openWriter();
        const { end } = writer.range('end', 0);
        assert.ok(end <= frames.length - 2);
        const read = await reading(copy, async (reader) => ({ a: await valuesOf(reader, a0), end: await valuesOf(reader, ['end', 0]) }));
        assert.deepEqual(read, expected(end));
        await writer.close();
      } catch (error) {
        assert.ok(error instanceof TailraceError && error.code === 'log-damaged', String(error));
      }
    }),
    { numRuns: Number(process.env['TAILRACE_FUZZ_RUNS'] ?? 150) },
  );
});

interface Mutation {
  readonly file: number;
  readonly kind: 'flip' | 'cut' | 'insert' | 'copy' | 'overwrite' | 'zero';
  readonly at: number;
  readonly from: number;
  readonly length: number;
  readonly byte: number;
}

function mutations(files: number): fc.Arbitrary<readonly Mutation[]> {
  return fc.array(
    fc.record({
      file: fc.nat(files - 1),
      kind: fc.constantFrom('flip', 'cut', 'insert', 'copy', 'overwrite', 'zero'),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      from: fc.double({ min: 0, max: 1, noNaN: true }),
      length: fc.oneof(fc.nat(10), fc.nat(300)),
      byte: fc.integer({ min: 0, max: 255 }),
    }),
    { minLength: 1, maxLength: 4 },
  );
}

/** `at` and `from` are parts of the file's length. */
function mutate(bytes: Buffer, { kind, at, from, length, byte }: Mutation): Buffer {
  const place = Math.floor(at * bytes.length);
  const source = Math.floor(from * bytes.length);
  switch (kind) {
    case 'flip':
      if (place < bytes.length) bytes[place]! ^= byte;
      return bytes;
    case 'cut':
      return Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + length)]);
    case 'insert':
      return Buffer.concat([bytes.subarray(0, place), Buffer.alloc(length, byte), bytes.subarray(place)]);
    case 'copy':
      return Buffer.concat([bytes.subarray(0, place), bytes.subarray(source, source + length), bytes.subarray(place)]);
    case 'overwrite':
      bytes.copy(bytes, place, source, source + length);
      return bytes;
    case 'zero':
      bytes.subarray(place, place + length).fill(0);
      return bytes;
  }
}

async function readSome(reader: LogReader, from: number): Promise<{ offset: number; value: string | null }[]> {
  const read: { offset: number; value: string | null }[] = [];
  for (let offset = from; ; ) {
    try {
      const cursor = await reader.fetch('a', 0, offset, 700);
      if (cursor.nextOffset === offset) return read;
      assert.ok(cursor.nextOffset > offset);
      while (cursor.next()) read.push({ offset: cursor.offset, value: textOf(cursor.value) });
      offset = cursor.nextOffset;
    } catch (error) {
      assert.ok(error instanceof TailraceError && ['log-damaged', 'offset-out-of-range'].includes(error.code), String(error));
      return read;
    }
  }
}

test('a reader inside a segment that is trimmed goes on in it, or is told that the offset is gone', async () => {
  const directory = await closed(async (writer) => {
    for (let n = 0; n < 60; n++) await appendGroup(writer, n);
  }, { segmentSize: 1000 });
  const inside = await openEmbeddedLog({ directory }).openReader();
  const fresh = await openEmbeddedLog({ directory }).openReader();
  assert.ok((await inside.fetch('a', 0, 0, 100)).next());
  const writer = await openEmbeddedLog({ directory, segmentSize: 1000 }).openWriter();
  await writer.trim('a', 0, 100);
  const { start } = writer.range('a', 0);
  assert.ok(start > 20);
  const cursor = await inside.fetch('a', 0, 2, 10_000);
  assert.ok(cursor.next());
  assert.equal(textOf(cursor.value), '1 x');
  // The next segment is gone, and no open file of it is left.
  await assert.rejects(inside.fetch('a', 0, cursor.nextOffset, 100), { code: 'offset-out-of-range', message: new RegExp(`holds offsets ${start} to 120`) });
  await assert.rejects(fresh.fetch('a', 0, 2, 100), { code: 'offset-out-of-range' });
  assert.ok((await fresh.fetch('a', 0, start, 100)).next());
  await Promise.all([inside.close(), fresh.close(), writer.close()]);
});

test('a reader of a folder without a log is told so, and makes nothing', async () => {
  const log = openEmbeddedLog({ directory: join(good, 'nothing') });
  await assert.rejects(log.openReader(), { code: 'log-missing' });
  await eventually(() => !segmentsOf(good, a0).includes('nothing'));
});
