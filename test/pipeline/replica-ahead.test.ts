import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Position } from '../../src/event/position.ts';
import { embeddedLogConfig } from '../../src/log/embedded/config.ts';
import { createEmbeddedLog } from '../../src/log/embedded/index.ts';
import type { LogReader } from '../../src/log/log.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import type { EndRecord, Place, StartRecord, TransactionRecord } from '../../src/pipeline/control-records.ts';
import { EndFollower } from '../../src/pipeline/end-follower.ts';
import { controlDraft } from '../../src/pipeline/group.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { tempDirectory } from '../support/temp.ts';

const topic = 'shop.transaction';
const startId = '00112233445566aa';

function start(epoch: number, id: string): StartRecord {
  return { type: 'start', logId: 'x', epoch, startId: id, systemIdentifier: '7', timeline: 1, slot: 's', tables: [], continues: null, gap: null };
}

function end(id: string, place: Place, previous: Place): EndRecord {
  const part = { topic: 'shop.public.t', partition: 0, count: 1, first: 0, last: 0, bytes: 1 };
  return { type: 'end', startId: id, ...place, endLsn: place.commitLsn + 1n, commitTime: 0n, previous, parts: [part], snapshot: null };
}

/** A log with these records, and a way to append more. */
async function logOf(t: TestContext, records: readonly TransactionRecord[]): Promise<{ reader: LogReader; add(more: readonly TransactionRecord[]): Promise<void> }> {
  const open: { close(): Promise<void> }[] = [];
  // Before the directory: what is registered first is done first.
  t.after(async () => {
    for (const each of open) await each.close();
  });
  const log = createEmbeddedLog(embeddedLogConfig.parse({ directory: await tempDirectory(t) }));
  const writer = await log.openWriter();
  await writer.createTopic({ topic, partitions: 1 });
  const add = async (more: readonly TransactionRecord[]): Promise<void> => {
    const batch = writer.batch(topic, 0);
    for (const record of more) batch.add(controlDraft(encodeControl(record), 0));
    await writer.append([batch]);
  };
  await add(records);
  const reader = await log.openReader();
  open.push(reader, writer);
  return { reader, add };
}

function at(reader: LogReader, place: Place, more: Partial<Position> = {}): Position {
  return { logId: reader.logId ?? '', systemIdentifier: '7', startId, ...place, offset: 2, ...more };
}

const first = { epoch: 1, commitLsn: 0x10n };
const second = { epoch: 1, commitLsn: 0x20n };
const none = { epoch: 0, commitLsn: 0n };
const records = [start(1, startId), end(startId, first, none), end(startId, second, first)];

const gap = (error: unknown): boolean => error instanceof TailraceError && error.code === 'gap';

test('a position that the log has never come to is a gap: the log was put back from an older copy', async (t) => {
  const { reader } = await logOf(t, records);
  for (const offset of [1, 2, 3, 70]) {
    const follower = await EndFollower.behind(reader, topic, at(reader, { epoch: 9, commitLsn: 0x15n }, { startId: 'ffffffffffffffff', offset }));
    await assert.rejects(follower.next(1 << 20, 100), gap, `hint ${offset}`);
  }
});

test('a position that the log has is none, whatever the hint, and what comes later follows it', async (t) => {
  const { reader, add } = await logOf(t, records);
  const followers = await Promise.all([0, 1, 2, 70].map((offset) => EndFollower.behind(reader, topic, at(reader, second, { offset }))));
  for (const follower of followers) assert.deepEqual(await follower.next(1 << 20, 100), []);
  await add([end(startId, { epoch: 1, commitLsn: 0x30n }, second)]);
  for (const follower of followers) assert.deepEqual((await follower.next(1 << 20, 100)).map((step) => step.end.commitLsn), [0x30n]);
});

test('an END without events that repeats the position stands for it, when retention has removed its own', async (t) => {
  const repeat: EndRecord = { ...end('aa', second, second), endLsn: 0x40n, parts: [] };
  const { reader } = await logOf(t, [start(2, 'aa'), repeat]);
  const follower = await EndFollower.behind(reader, topic, at(reader, second));
  assert.deepEqual(await follower.next(1 << 20, 100), []);
});
