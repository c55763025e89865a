import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEmbeddedLog, type EmbeddedLogOptions } from '../../../src/log/embedded/embedded-log.ts';
import type { RecoveryReport } from '../../../src/log/embedded/recovery.ts';
import { TailraceError } from '../../../src/runtime/errors.ts';
import { armFailpoint } from '../../../src/runtime/failpoint.ts';
import {
  a0, allFiles, appendGroup, closed, contentOf, copyOf, crashed, edit, end0, expected, framesOf, journalOf, restore, segmentsOf,
} from './folders.ts';

process.env['NODE_ENV'] = 'test';

/** Groups that stand in the journal of most tests. */
const groups = 4;

async function fourGroups(writer: Parameters<typeof appendGroup>[0]): Promise<void> {
  for (let n = 0; n < groups; n++) await appendGroup(writer, n);
}

/** The next group's journal write ends just before its sync: it is all there, and was never acknowledged. */
async function andOneUnsynced(writer: Parameters<typeof appendGroup>[0]): Promise<void> {
  await fourGroups(writer);
  armFailpoint('log.group_written_unsynced:throw');
  await assert.rejects(appendGroup(writer, groups), { code: 'log-unwritable' });
  armFailpoint(undefined);
}

/** Opens, holds the content against `n` whole groups, appends another, and opens again. */
async function goesOnAfter(directory: string, n: number, options: Partial<EmbeddedLogOptions> = {}): Promise<RecoveryReport> {
  const log = openEmbeddedLog({ ...options, directory });
  const writer = await log.openWriter();
  assert.deepEqual(await contentOf(directory), expected(n));
  assert.deepEqual(writer.range('a', 0), { start: 0, end: n * 2 });
  await appendGroup(writer, n);
  await writer.close();
  assert.deepEqual(await contentOf(directory), expected(n + 1));
  return writer.recovery;
}

/** Opening is refused as damage that names the place, and nothing in the folder is another than before. */
async function refused(directory: string, place: RegExp, code = 'log-damaged'): Promise<void> {
  const files = allFiles(directory);
  await assert.rejects(openEmbeddedLog({ directory }).openWriter(), (error) => {
    assert.ok(error instanceof TailraceError);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, place);
    return true;
  });
  assert.deepEqual(allFiles(directory), files);
}

const torn = await crashed(andOneUnsynced);

test('a group that was written and not synced is whole or gone, cut at every byte', async () => {
  const path = journalOf(torn);
  const frames = framesOf(torn, path);
  const [from, to] = [frames[groups + 1] ?? 0, frames[groups + 2] ?? 0];
  assert.ok(to - from > 200, 'the last group has some length');
  for (let size = from; size < to; size++) {
    const copy = await copyOf(torn);
    truncateSync(join(copy, path), size);
    const writer = await openEmbeddedLog({ directory: copy }).openWriter();
    assert.equal(writer.recovery.dropped, size - from);
    assert.deepEqual(await contentOf(copy), expected(groups));
    await writer.close();
    // Every sixteenth only: the syncs take their time.
    if (size % 16 === 0) await goesOnAfter(copy, groups);
    rmSync(copy, { recursive: true });
  }
  const report = await goesOnAfter(await copyOf(torn), groups + 1);
  assert.deepEqual(report, { redone: groups + 1, dropped: 0, cut: 0 });
});

test('an opening that fails between the new journal and the end of the old one is made good by the next', async () => {
  const path = journalOf(torn);
  const copy = await copyOf(torn);
  truncateSync(join(copy, path), (framesOf(torn, path)[groups + 1] ?? 0) + 40);
  armFailpoint('log.journal_rotated:throw');
  await assert.rejects(openEmbeddedLog({ directory: copy }).openWriter(), { code: 'log-unwritable' });
  armFailpoint(undefined);
  assert.equal(readdirSync(join(copy, 'journal')).length, 2);
  await goesOnAfter(copy, groups);
});

test('topic files that are ahead of a cut journal are cut back to it', async () => {
  const whole = await crashed(fourGroups);
  const path = journalOf(whole);
  truncateSync(join(whole, path), (framesOf(whole, path)[groups] ?? 0) + 10);
  const report = await goesOnAfter(whole, groups - 1);
  assert.equal(report.dropped, 10);
  assert.ok(report.cut > 0);
});

test('nonsense and zeros behind the last group are dropped', async () => {
  const path = journalOf(torn);
  const size = framesOf(torn, path).at(-1) ?? 0;
  for (const tail of [Buffer.alloc(1), Buffer.alloc(1024 * 1024), randomBytes(7), randomBytes(100_000), Buffer.from('TRjgTRjgTRjg')]) {
    const copy = await copyOf(torn);
    edit(copy, path, (bytes) => Buffer.concat([bytes.subarray(0, size), tail]));
    const report = await goesOnAfter(copy, groups + 1);
    assert.equal(report.dropped, tail.length);
  }
});

test('a byte that changed in a group with a group behind it is refused, and nothing is cut', async () => {
  const path = journalOf(torn);
  const frames = framesOf(torn, path);
  const copy = await copyOf(torn);
  for (let at = frames[2] ?? 0; at < (frames[3] ?? 0); at++) {
    edit(copy, path, (bytes) => {
      bytes[at]! ^= 1 << at % 8;
    });
    await refused(copy, new RegExp(`journal, byte ${frames[2]}: `));
    restore(torn, copy, path);
  }
  await goesOnAfter(copy, groups + 1);
});

test('a changed table at the head of a journal is refused', async () => {
  const path = journalOf(torn);
  const copy = await copyOf(torn);
  for (let at = 0; at < (framesOf(torn, path)[1] ?? 0); at++) {
    edit(copy, path, (bytes) => {
      bytes[at]! ^= 0x10;
    });
    await refused(copy, /journal, byte 0: /);
    restore(torn, copy, path);
  }
});

test('a hole in the sequence of groups is refused', async () => {
  const path = journalOf(torn);
  const frames = framesOf(torn, path);
  const copy = await copyOf(torn);
  edit(copy, path, (bytes) => Buffer.concat([bytes.subarray(0, frames[2]), bytes.subarray(frames[3])]));
  await refused(copy, /the frame has number 3, but 2 is due/);
});

test('a journal file that is missing in the middle is refused, and so is a log without any', async () => {
  const none = await crashed(fourGroups);
  rmSync(join(none, 'journal'), { recursive: true });
  mkdirSync(join(none, 'journal'));
  await refused(none, /there is no journal/);

  // Three files stand when the old one could not be removed, and the log was opened again and died again.
  const [first, second, third] = [0, 1, 2].map((number) => `journal/0000000000000000000${number}.journal`);
  const three = await crashed(fourGroups);
  const rotate = async (): Promise<void> => {
    const writer = await openEmbeddedLog({ directory: three }).openWriter();
    await writer.close();
  };
  const [one] = [await copyOf(three)];
  await rotate();
  const writer = await openEmbeddedLog({ directory: three }).openWriter();
  await appendGroup(writer, groups);
  const two = await copyOf(three);
  await writer.close();
  for (const [from, path] of [[one, first], [two, second]] as const) restore(from, three, path ?? '');
  assert.ok(existsSync(join(three, third ?? '')));
  const holed = await copyOf(three);
  rmSync(join(holed, second ?? ''));
  await refused(holed, /2\.journal, byte 0: the frame has number 5, but 4 is due/);
  await goesOnAfter(three, groups + 1);
});

test('a segment that is missing, or shorter than the journal says, is refused', async () => {
  const good = await closed(fourGroups);
  const [segment = ''] = segmentsOf(good, a0);
  const short = await copyOf(good);
  edit(short, segment, (bytes) => bytes.subarray(0, -1));
  await refused(short, /\.log, byte \d+: the file ends here/);
  const missing = await copyOf(good);
  rmSync(join(missing, segment));
  await refused(missing, /\.log, byte 0: the segment is missing/);
  const topicGone = await copyOf(good);
  rmSync(join(topicGone, 'topics', 'a'), { recursive: true });
  await refused(topicGone, /the journal knows this partition/);
});

test('a last batch that changed is refused on opening, byte by byte', async () => {
  const good = await closed(fourGroups);
  const [segment = ''] = segmentsOf(good, end0);
  const copy = await copyOf(good);
  let size = 0;
  edit(copy, segment, (bytes) => {
    size = bytes.length;
  });
  for (let at = Math.floor((size / groups) * (groups - 1)) + 1; at < size; at++) {
    edit(copy, segment, (bytes) => {
      bytes[at]! ^= 1 << at % 8;
    });
    await refused(copy, /\.log, byte \d+: /);
    restore(good, copy, segment);
  }
});

test('what stands in a topic file behind the journal is cut', async () => {
  const good = await closed(fourGroups);
  for (const tail of [Buffer.alloc(1024 * 1024), randomBytes(500)]) {
    const copy = await copyOf(good);
    for (const segment of [...segmentsOf(copy, a0), ...segmentsOf(copy, end0)]) edit(copy, segment, (bytes) => Buffer.concat([bytes, tail]));
    writeFileSync(join(copy, 'topics/a/0/00000000000000000777.log'), tail);
    const report = await goesOnAfter(copy, groups);
    assert.equal(report.cut, tail.length * 3);
  }
});

test('what stands behind the records of a full segment that the journal still knows is cut', async () => {
  const directory = await crashed(fourGroups, { segmentSize: 150 });
  const segments = segmentsOf(directory, a0);
  assert.equal(segments.length, groups);
  for (const segment of segments) edit(directory, segment, (bytes) => Buffer.concat([bytes, randomBytes(100)]));
  const report = await goesOnAfter(directory, groups);
  assert.equal(report.cut, groups * 100);
});

test('a log.json that is missing, of another kind or of a later version is refused by name', async () => {
  const good = await closed(fourGroups);
  const missing = await copyOf(good);
  rmSync(join(missing, 'log.json'));
  await refused(missing, /log\.json.*missing/);
  for (const [text, place, code] of [
    ['{', /log\.json, byte 0: this is not a JSON object/, 'log-damaged'],
    ['{"format":"other"}', /log\.json.*not the log\.json/, 'log-damaged'],
    ['{"format":"tailrace-log","version":3,"logId":"x"}', /log\.json: format version 3; this Tailrace knows 1 to 2/, 'log-unknown-version'],
  ] as const) {
    const copy = await copyOf(good);
    writeFileSync(join(copy, 'log.json'), text);
    await refused(copy, place, code);
    await assert.rejects(openEmbeddedLog({ directory: copy }).openReader(), { code });
  }
});

test('a topic.json that belongs elsewhere or says nothing is refused', async () => {
  const good = await closed(fourGroups);
  for (const text of ['', '[]', '{"topic":"b","partitions":1}', '{"topic":"a","partitions":0}']) {
    const copy = await copyOf(good);
    writeFileSync(join(copy, 'topics/a/topic.json'), text);
    await refused(copy, /topics\/a\/topic\.json/);
  }
});

test('a topic and a file that were half made are swept away', async () => {
  const good = await closed(fourGroups);
  mkdirSync(join(good, 'topics/~new-b/0'), { recursive: true });
  writeFileSync(join(good, 'journal/~new-00000000000000000009.journal'), 'x');
  const reader = await openEmbeddedLog({ directory: good }).openReader();
  assert.deepEqual((await reader.topics()).map(({ topic }) => topic), ['a', 'end']);
  await reader.close();
  await goesOnAfter(good, groups);
  assert.ok(!existsSync(join(good, 'topics/~new-b')));
  assert.ok(!existsSync(join(good, 'journal/~new-00000000000000000009.journal')));
});

test('rolled segments, rotated journals and trims are redone as they were', async () => {
  const options = { segmentSize: 1000, journalSize: 3000 };
  const directory = await crashed(async (writer) => {
    for (let n = 0; n < 40; n++) await appendGroup(writer, n);
    await writer.trim('a', 0, 41);
    for (let n = 40; n < 80; n++) await appendGroup(writer, n);
  }, options);
  const writer = await openEmbeddedLog({ ...options, directory }).openWriter();
  const { start, end } = writer.range('a', 0);
  assert.ok(start > 0 && start <= 41);
  assert.equal(end, 160);
  const content = await contentOf(directory);
  assert.deepEqual(content, { a: expected(80).a.slice(start), end: expected(80).end });
  await writer.close();
});

test('a partition that was trimmed whole is redone as empty, wherever its files were', async () => {
  const whole = await crashed(async (writer) => {
    await fourGroups(writer);
    await writer.trim('a', 0, groups * 2);
  });
  const original = await copyOf(torn);
  for (const files of ['as they were', 'not yet removed', 'not there']) {
    const copy = await copyOf(whole);
    const partition = join(copy, 'topics/a/0');
    if (files !== 'as they were') rmSync(join(partition, '00000000000000000008.log'));
    if (files === 'not yet removed') copyFileSync(join(original, 'topics/a/0/00000000000000000000.log'), join(partition, '00000000000000000000.log'));
    const log = openEmbeddedLog({ directory: copy });
    const writer = await log.openWriter();
    assert.deepEqual(writer.range('a', 0), { start: 8, end: 8 });
    assert.deepEqual(segmentsOf(copy, a0), ['topics/a/0/00000000000000000008.log']);
    await appendGroup(writer, 4);
    await writer.close();
    assert.deepEqual(await contentOf(copy), { a: ['4 x', '4 y'], end: [...expected(4).end, 'END 4 8'] });
  }
});

test('a segment that was trimmed after the journal was begun is not missed', async () => {
  const directory = await closed(fourGroups);
  const writer = await openEmbeddedLog({ directory }).openWriter();
  await writer.trim('a', 0, groups * 2);
  const copy = await copyOf(directory);
  await writer.close();
  const again = await openEmbeddedLog({ directory: copy }).openWriter();
  assert.deepEqual(again.range('a', 0), { start: 8, end: 8 });
  await again.close();
});

test('an index that is missing or wrong is built anew, and the same is read', async () => {
  const directory = await closed(async (writer) => {
    for (let n = 0; n < 400; n++) await appendGroup(writer, n);
  }, { segmentSize: 12_000 });
  const segments = segmentsOf(directory, a0);
  assert.ok(segments.length > 2);
  const indexes = segments.map((path) => path.replace('.log', '.index'));
  const original = allFiles(directory);
  const content = (path: string): Buffer => readFileSync(join(directory, path));
  assert.ok(content(indexes[0] ?? '').length >= 8, 'the index has entries');
  for (const change of ['removed', 'nonsense', 'short'] as const) {
    const copy = await copyOf(directory);
    for (const path of indexes) {
      if (change === 'removed') rmSync(join(copy, path));
      else writeFileSync(join(copy, path), change === 'nonsense' ? randomBytes(17) : content(path).subarray(0, -3));
    }
    const log = openEmbeddedLog({ directory: copy });
    const writer = await log.openWriter();
    for (const path of indexes) assert.equal(allFiles(copy)[path], original[path], `${path} ${change}`);
    await writer.close();
  }
});

test('an index that a power loss left short is whole after the recovery', async () => {
  const directory = await crashed(async (writer) => {
    for (let n = 0; n < 400; n++) await appendGroup(writer, n);
  }, { segmentSize: 12_000 });
  const whole = allFiles(directory);
  const indexes = segmentsOf(directory, a0).map((path) => path.replace('.log', '.index'));
  for (const path of indexes) writeFileSync(join(directory, path), '');
  const writer = await openEmbeddedLog({ directory, segmentSize: 12_000 }).openWriter();
  for (const path of indexes) assert.equal(allFiles(directory)[path], whole[path], path);
  await writer.close();
});

test('a reader does without an index, and with one that points anywhere', async () => {
  const directory = await closed(async (writer) => {
    for (let n = 0; n < 300; n++) await appendGroup(writer, n);
  });
  const [segment = ''] = segmentsOf(directory, a0);
  const index = segment.replace('.log', '.index');
  const reads = async (): Promise<(string | null)[]> => {
    const reader = await openEmbeddedLog({ directory }).openReader();
    const found: (string | null)[] = [];
    for (const offset of [599, 0, 100, 350, 351, 600]) {
      const cursor = await reader.fetch('a', 0, offset, 10);
      found.push(cursor.next() ? Buffer.from(cursor.value.bytes.subarray(cursor.value.start, cursor.value.end)).toString() : null);
    }
    await reader.close();
    return found;
  };
  const right = ['299 y', '0 x', '50 x', '175 x', '175 y', null];
  assert.deepEqual(await reads(), right);
  for (const bytes of [undefined, randomBytes(16), Buffer.from('0000000500000007000001000000010000000200000020ff', 'hex'), Buffer.alloc(80)]) {
    if (bytes === undefined) rmSync(join(directory, index));
    else writeFileSync(join(directory, index), bytes);
    assert.deepEqual(await reads(), right);
  }
});

test('an error of the disk ends the writer, and what it had acknowledged is there', async () => {
  for (const point of ['log.group_written_unsynced', 'log.synced_unpublished', 'log.topic_half_written', 'log.roll_mid']) {
    const directory = await crashed(async (writer) => {
      await fourGroups(writer);
      armFailpoint(`${point}:throw`);
      const failing = (async () => {
        for (let n = groups; n < 40; n++) await appendGroup(writer, n);
      })();
      await assert.rejects(failing, { code: 'log-unwritable' });
      armFailpoint(undefined);
      await assert.rejects(appendGroup(writer, 99), { code: 'log-unwritable' });
      await assert.rejects(writer.createTopic({ topic: 'x', partitions: 1 }), { code: 'log-unwritable' });
    }, { segmentSize: 2000 });
    const writer = await openEmbeddedLog({ directory }).openWriter();
    const content = await contentOf(directory);
    assert.ok(content.end.length > groups, point);
    assert.deepEqual(content, expected(content.end.length), point);
    await writer.close();
  }
});

test('an error while the old journal is let go of ends the writer', async () => {
  const directory = await crashed(async (writer) => {
    armFailpoint('log.journal_old_removed:throw');
    await assert.rejects(
      async () => {
        for (let n = 0; n < 10_000; n++) await appendGroup(writer, n);
      },
      { code: 'log-unwritable' },
    );
    armFailpoint(undefined);
  }, { journalSize: 2000 });
  const writer = await openEmbeddedLog({ directory }).openWriter();
  const content = await contentOf(directory);
  assert.deepEqual(content, expected(content.end.length));
  await writer.close();
});
