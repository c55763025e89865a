import assert from 'node:assert/strict';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import type { LogReader, LogWriter } from '../../../src/log/log.ts';
import { batchOf, readAll, type PlainRecord, type ReadRecord } from '../../contract/log-samples.ts';
import { tempDirectory } from '../../support/temp.ts';
import { allFiles, copyOf, segmentsOf } from './folders.ts';

/**
 * Format version 1 as it was released. Every later version must read these folders: `closed` was closed, `crashed` has groups
 * in its journal that its topic files lack. Made by UPDATE_GOLDEN=1; a new format version gets folders of its own.
 */
const golden = new URL('../../golden/log-v1', import.meta.url).pathname;
const options = { segmentSize: 9000, segmentAge: 1_000_000_000 };
const places = [['shop.Public.orders', 0], ['shop.Public.orders', 1], ['shop.transaction', 0]] as const;

const records: readonly PlainRecord[] = Array.from({ length: 120 }, (_, i) => ({
  timestamp: 1_700_000_000_000 + i * 1000 - (i % 7 === 0 ? 5_000 : 0),
  key: i % 5 === 0 ? null : `key ${i}`,
  value: i % 6 === 0 ? null : i % 11 === 0 ? '' : `value ${i} \x00\xff${'z'.repeat((i * 37) % 900)}`,
  headers: { e: `${i}`.padStart(48, '0'), ...(i % 3 === 0 ? { x: '' } : {}) },
}));

async function write(writer: LogWriter): Promise<void> {
  await writer.createTopic({ topic: 'shop.Public.orders', partitions: 2 });
  await writer.createTopic({ topic: 'shop.transaction', partitions: 1 });
  for (let i = 0; i < records.length; i += 3) {
    await writer.append([batchOf(writer, places[i % 2] ?? places[0], records.slice(i, i + 3))], ([placed]) => [batchOf(writer, places[2], [end(i, placed?.offsetOf(0) ?? 0)])]);
  }
  await writer.trim('shop.Public.orders', 0, 30);
}

function end(i: number, base: number): PlainRecord {
  return { timestamp: 1_700_000_100_000 + i, key: null, value: `END ${i} ${base}`, headers: {} };
}

async function contentOf(reader: LogReader): Promise<ReadRecord[][]> {
  return Promise.all(places.map((place) => readAll(reader, place, { names: ['e', 'x'] })));
}

/** What `write` leaves: each partition's records with their offsets, from the first one held. */
function expected(starts: readonly number[]): ReadRecord[][] {
  const all: ReadRecord[][] = [[], [], []];
  for (let i = 0; i < records.length; i += 3) {
    const events = all[i % 2] ?? [];
    all[2]?.push({ ...end(i, events.length), offset: all[2].length });
    for (const record of records.slice(i, i + 3)) events.push({ ...record, offset: events.length });
  }
  return all.map((partition, i) => partition.slice(starts[i]));
}

async function make(): Promise<void> {
  rmSync(golden, { recursive: true, force: true });
  const directory = join(await tempDirectory(), 'log');
  const log = openEmbeddedLog({ ...options, directory });
  const writer = await log.openWriter();
  await write(writer);
  cpSync(directory, join(golden, 'crashed'), { recursive: true });
  for (const [topic, partition] of places) {
    // As after a power loss: nothing of the topic files has reached the disk.
    for (const path of segmentsOf(directory, [topic, partition])) {
      rmSync(join(golden, 'crashed', path));
      rmSync(join(golden, 'crashed', path.replace('.log', '.index')));
    }
  }
  await writer.close();
  cpSync(directory, join(golden, 'closed'), { recursive: true });
  for (const name of ['closed', 'crashed']) rmSync(join(golden, name, 'lock.db'));
}

if (process.env['UPDATE_GOLDEN'] === '1') await make();

test('a log of version 1 is read and written on', async () => {
  const copy = await copyOf(join(golden, 'closed'));
  const log = openEmbeddedLog({ ...options, directory: copy });
  const reader = await log.openReader();
  const writer = await log.openWriter();
  const starts = places.map(([topic, partition]) => writer.range(topic, partition).start);
  assert.ok((starts[0] ?? 0) > 0 && (starts[0] ?? 0) <= 30);
  assert.deepEqual(await contentOf(reader), expected(starts));
  const { end: before } = writer.range('shop.transaction', 0);
  await writer.append([batchOf(writer, places[2], [end(99, 0)])]);
  await writer.close();
  assert.deepEqual(await reader.range('shop.transaction', 0), { start: 0, end: before + 1 });
  await reader.close();
});

test('a log of version 1 that crashed is recovered from its journal', async () => {
  const copy = await copyOf(join(golden, 'crashed'));
  for (const name of ['shop.%50ublic.orders/0', 'shop.%50ublic.orders/1', 'shop.transaction/0']) mkdirSync(join(copy, 'topics', name), { recursive: true });
  const log = openEmbeddedLog({ ...options, directory: copy });
  const writer = await log.openWriter();
  const starts = places.map(([topic, partition]) => writer.range(topic, partition).start);
  assert.ok((starts[0] ?? 0) > 0);
  const reader = await log.openReader();
  assert.deepEqual(await contentOf(reader), expected(starts));
  await reader.close();
  await writer.close();
  const files = allFiles(copy);
  for (const [path, hash] of Object.entries(allFiles(join(golden, 'closed')))) {
    if (path.startsWith('topics')) assert.equal(files[path], hash, path);
  }
});

test('the same records make the same files as version 1 did', async () => {
  const directory = join(await tempDirectory(), 'log');
  mkdirSync(directory, { recursive: true });
  cpSync(join(golden, 'closed/log.json'), join(directory, 'log.json'));
  const writer = await openEmbeddedLog({ ...options, directory }).openWriter();
  await write(writer);
  await writer.close();
  const files = allFiles(directory);
  assert.deepEqual(files, allFiles(join(golden, 'closed')));
});
