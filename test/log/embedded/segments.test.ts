import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import { batchOf, record, valuesOf } from '../../contract/log-samples.ts';
import { tempDirectory } from '../../support/temp.ts';
import { eventually } from '../../support/wait.ts';
import { a0, appendGroup, closed, makeTopics, segmentsOf } from './folders.ts';

test('a segment holds records of no longer than its age, by their own times', async () => {
  const hour = 3_600_000;
  const directory = await closed(async (writer) => {
    // The last one is older than the one before it, and joins it.
    for (const time of [0, 1, 23.9, 24, 30, 47.9, 48.1, 200, 150]) await writer.append([batchOf(writer, a0, [record('x', time * hour)])]);
  }, { segmentAge: 24 * hour });
  assert.deepEqual(segmentsOf(directory, a0).map((path) => Number(path.slice(-24, -4))), [0, 3, 6, 7]);
  // The age of the segment is known after an opening too.
  const writer = await openEmbeddedLog({ directory, segmentAge: 24 * hour }).openWriter();
  await writer.append([batchOf(writer, a0, [record('x', 223 * hour)])]);
  await writer.append([batchOf(writer, a0, [record('x', 225 * hour)])]);
  await writer.close();
  assert.deepEqual(segmentsOf(directory, a0).map((path) => Number(path.slice(-24, -4))), [0, 3, 6, 7, 10]);
});

test('a segment is no larger than its size, but for a single batch that is', async () => {
  const directory = await closed(async (writer) => {
    for (let n = 0; n < 100; n++) await writer.append([batchOf(writer, a0, [record('x'.repeat((n * 97) % 3000))])]);
    await writer.append([batchOf(writer, a0, [record('y'.repeat(20_000))])]);
    await writer.append([batchOf(writer, a0, [record('z')])]);
  }, { segmentSize: 5000 });
  const sizes = segmentsOf(directory, a0).map((path) => statSync(join(directory, path)).size);
  assert.deepEqual(sizes.filter((size) => size > 5000).length, 1);
  // Two neighbours would not have fitted into one.
  for (const [i, size] of sizes.entries()) assert.ok(size + (sizes[i + 1] ?? Infinity) > 5000, sizes.join());
});

test('an index has an entry every 4 KiB, over openings too', async () => {
  const directory = await closed(async (writer) => {
    for (let n = 0; n < 100; n++) await appendGroup(writer, n);
  });
  for (let n = 100; n < 200; n += 10) {
    const writer = await openEmbeddedLog({ directory }).openWriter();
    for (let i = n; i < n + 10; i++) await appendGroup(writer, i);
    await writer.close();
  }
  const [segment = ''] = segmentsOf(directory, a0);
  const index = readFileSync(join(directory, segment.replace('.log', '.index')));
  const positions = Array.from({ length: index.length / 8 }, (_, i) => index.readInt32BE(i * 8 + 4));
  assert.ok(positions.length >= 3);
  for (const [i, position] of positions.entries()) {
    const gap = position - (positions[i - 1] ?? 0);
    assert.ok(gap >= 4096 && gap < 4096 + 100, `${gap} bytes before entry ${i}`);
  }
});

test('the old part of the journal goes as soon as what it holds is synced', async () => {
  const directory = join(await tempDirectory(), 'log');
  const writer = await openEmbeddedLog({ directory, journalSize: 2000 }).openWriter();
  await makeTopics(writer);
  for (let n = 0; n < 200; n++) await appendGroup(writer, n);
  await eventually(() => readdirSync(join(directory, 'journal')).length === 1);
  assert.ok(Number(readdirSync(join(directory, 'journal'))[0]?.slice(0, 20)) > 0);
  await writer.close();
  const reader = await openEmbeddedLog({ directory }).openReader();
  assert.equal((await valuesOf(reader, a0)).length, 400);
  await reader.close();
});
