import assert from 'node:assert/strict';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import type { LogReader, LogWriter } from '../../../src/log/log.ts';
import { batchOf, readAll, record, type PlainRecord } from '../../contract/log-samples.ts';

/** Small, so that a few hundred groups roll segments and rotate journals. */
export const limits = { segmentSize: 20_000, journalSize: 60_000 };

const places = [['a', 0], ['a', 1], ['b', 0]] as const;

export async function makeTopics(writer: LogWriter): Promise<void> {
  await writer.createTopic({ topic: 'a', partitions: 2 });
  for (const topic of ['b', 'end', 'latest']) await writer.createTopic({ topic, partitions: 1 });
}

/** Group n: some records in some partitions, all of which follow from n, and an END that says where they are. */
export async function appendNumbered(writer: LogWriter, n: number): Promise<void> {
  const used = places.filter((_, i) => (n + i) % 3 !== 0);
  const batches = used.map((place, i) => batchOf(writer, place, recordsOf(n, i)));
  batches.push(batchOf(writer, ['latest', 0], [{ ...record(`${n} ${'x'.repeat(300)}`), key: keyOf(n) }]));
  await writer.append(batches, (placed) => [
    batchOf(writer, ['end', 0], [record(JSON.stringify({ n, at: used.map(([topic, partition], i) => [topic, partition, placed[i]?.offsetOf(0)]) }))]),
  ]);
  // Goes on while the next groups are appended.
  if (n % 80 === 79) await rewriting;
  if (n % 80 === 79) {
    rewriting = rewrite(writer);
    // Whoever awaits it hears of it.
    rewriting.catch(() => undefined);
  }
  if (n % 97 === 96) for (const [topic, partition] of places) await writer.trim(topic, partition, writer.range(topic, partition).end - 100);
}

let rewriting: Promise<unknown> = Promise.resolve();

async function rewrite(writer: LogWriter): Promise<void> {
  try {
    await writer.compact?.('latest', 0, { below: Number.MAX_SAFE_INTEGER, deleteRetention: 0 });
    for (const topic of ['b', 'end']) await writer.merge?.(topic, 0, 2);
  } catch (error) {
    // The log was closed meanwhile.
    if ((error as { code?: string }).code !== 'internal') throw error;
  }
}

function keyOf(n: number): string {
  return `key ${n % 20}`;
}

function recordsOf(n: number, i: number): PlainRecord[] {
  const count = 1 + ((n * 7 + i) % 5);
  return Array.from({ length: count }, (_, j) => record(`${n}.${i}.${j} ${'x'.repeat((n * 31 + j) % 400)}`, n));
}

/**
 * Holds all that can be read against what the appender wrote: ENDs 0, 1, 2 and so on, each with its records at the offsets
 * that it names, and no record that none of them names. Returns how many.
 */
export async function checkNumbered(directory: string): Promise<number> {
  const reader = await openEmbeddedLog({ directory }).openReader();
  try {
    return await checkContent(reader);
  } finally {
    await reader.close();
  }
}

async function checkContent(reader: LogReader): Promise<number> {
  const held = new Map<string, Map<number, string | null>>();
  for (const [topic, partition] of places) {
    const records = await readAll(reader, [topic, partition], { maxBytes: 10_000 });
    held.set(`${topic} ${partition}`, new Map(records.map(({ offset, value }) => [offset, value])));
  }
  const ends = await readAll(reader, ['end', 0], { maxBytes: 10_000 });
  for (const [i, { offset, value }] of ends.entries()) {
    assert.equal(offset, i);
    const end = JSON.parse(value ?? '') as { n: number; at: [string, number, number][] };
    assert.equal(end.n, i);
    for (const [k, [topic, partition, base]] of end.at.entries()) {
      const { start } = await reader.range(topic, partition);
      for (const [j, expected] of recordsOf(end.n, k).entries()) {
        const found = held.get(`${topic} ${partition}`);
        if (base + j >= start) assert.equal(found?.get(base + j), expected.value);
        found?.delete(base + j);
      }
    }
  }
  const latest = new Map((await readAll(reader, ['latest', 0], { maxBytes: 10_000 })).map(({ key, value }) => [key, Number.parseInt(value ?? '', 10)]));
  assert.deepEqual(latest, new Map(Array.from(ends, (_, n) => [keyOf(n), n])), 'the newest of each key');
  for (const [place, left] of held) assert.equal(left.size, 0, `${place} has records that no END names`);
  return ends.length;
}
