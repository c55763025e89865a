import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openEmbeddedLog } from '../../src/log/embedded/embedded-log.ts';
import type { Log } from '../../src/log/log.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import { appendRecord } from '../../src/pipeline/group.ts';
import { lastStart, moveLog } from '../../src/pipeline/move/move-log.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { insert, rekey, ScriptedSource, truncate, update } from '../support/scripted-source.ts';
import { tempDirectory } from '../support/temp.ts';
import { Bench, tableOf } from './harness.ts';
import { ends, starts } from './log-view.ts';

const items = tableOf('items', 2);

/** Both logs opened as the command does; `place` names the new one. */
async function move(from: Log, directory: string): Promise<void> {
  const old = { writer: await from.openWriter(), reader: await from.openReader() };
  try {
    const { logId } = await lastStart(old.reader, 'shop');
    const to = openEmbeddedLog({ directory, logId });
    const made = { writer: await to.openWriter(), reader: await to.openReader() };
    try {
      await moveLog({ pipeline: 'shop', from: old, to: made, place: directory, tombstones: false, onProgress: () => {}, whenCopied: async () => {} });
    } finally {
      await made.reader.close();
      await made.writer.close();
    }
  } finally {
    await old.reader.close();
    await old.writer.close();
  }
}

async function published(t: TestContext): Promise<{ readonly bench: Bench; readonly source: ScriptedSource; readonly directory: string }> {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source, { sinks: ['local'] });
  await bench.start();
  return { bench, source, directory: join(await tempDirectory(t), 'new') };
}

test('moving: a sink goes on in the new log at the position that it has, transactions of many groups among what it reads', async (t) => {
  const { bench, source, directory } = await published(t);
  source.commit([insert(items, ['1', 'a']), insert(items, ['2', 'b'])]);
  const before = await bench.replay('local');
  await before.reaches(source.lsn);
  await before.stop();
  source.commit([truncate(items), ...Array.from({ length: 12 }, (_, n) => insert(items, [`${n}`, 'z'.repeat(1 << 18)]))]);
  source.commit([rekey(items, ['3', 'z'], ['30', 'moved']), update(items, ['4', 'small'])]);
  await bench.settled();
  const old = await ends(await bench.reader());
  await bench.stop();
  // What a publisher that was replaced has left: nothing of it counts, and nothing of it is copied.
  const writer = await bench.log.openWriter();
  const [last] = old.slice(-1);
  assert.ok(last !== undefined);
  const { at: _, ...end } = last;
  await appendRecord(writer, 'shop.transaction', { value: encodeControl({ ...end, startId: 'ffffffffffffffff' }) });
  await writer.close();

  await move(bench.log, directory);
  const moved = new ScriptedSource([items]);
  const there = await Bench.open(t, moved, { sinks: ['local'], on: openEmbeddedLog({ directory }) });
  const reader = await there.reader();
  const copied = await ends(reader);
  const told = (list: typeof old) => list.map(({ startId, epoch, commitLsn, endLsn, previous, parts }) => ({ startId, epoch, commitLsn, endLsn, previous, counts: parts.map(({ topic, count }) => [topic, count]) }));
  assert.deepEqual(told(copied), told(old));
  assert.ok((await reader.range('shop.transaction', 0)).start > 0, 'what retention had let go of is not taken for something that never was');
  await there.openPublisher();
  const after = await there.replay('local', { sink: bench.sqlite('local').sink });
  await after.reaches(source.lsn);
  const rows = before.rows(items).map(([id, text]) => `${id} ${text?.length}`).toSorted();
  assert.deepEqual(rows, [...[0, 1, 10, 11, 2, 5, 6, 7, 8, 9].map((n) => `${n} ${1 << 18}`), '30 5', '4 5'].toSorted());
});

test('moving: the old log is at its end for whoever publishes to it or follows it; another new log, or one that is not empty, is refused', async (t) => {
  const { bench, source, directory } = await published(t);
  source.commit([insert(items, ['1', 'a'])]);
  await bench.settled();
  await bench.stop();
  await move(bench.log, directory);
  await move(bench.log, directory);
  assert.equal((await starts(await bench.reader())).at(-1)?.moved, directory, 'done once');
  const isCode = (code: string) => (error: unknown) => error instanceof TailraceError && error.code === code;
  await assert.rejects(move(bench.log, `${directory}-other`), isCode('log-moved'));
  await assert.rejects(bench.start(), isCode('log-moved'));
  const sink = await bench.replay('local');
  assert.ok(isCode('log-moved')(await sink.ended()));
  await bench.stop();
  const second = await published(t);
  second.source.commit([insert(items, ['1', 'a'])]);
  await second.bench.settled();
  await second.bench.stop();
  await assert.rejects(move(second.bench.log, directory), isCode('log-not-empty'));
});
