import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import { encodeControl } from '../../../src/pipeline/control-json.ts';
import type { SinkRecord } from '../../../src/pipeline/control-records.ts';
import { controlDraft } from '../../../src/pipeline/group.ts';
import { SinkProgress, type SinkProgressOptions } from '../../../src/pipeline/verify/sink-progress.ts';
import { tempDirectory } from '../../support/temp.ts';

const topic = 'shop.sink.reporting';

interface Setting {
  readonly progress: SinkProgress;
  say(record: SinkRecord): Promise<void>;
}

async function setting(t: TestContext, more: Partial<SinkProgressOptions> = {}): Promise<Setting> {
  const close: (() => Promise<void>)[] = [];
  // Before the directory goes: the first that is asked for is the first that is called.
  t.after(async () => {
    for (const each of close) await each();
  });
  const log = openEmbeddedLog({ directory: await tempDirectory(t), segmentSize: 1 << 20, segmentAge: 86_400_000, shared: undefined });
  const writer = await log.openWriter();
  await writer.createTopic({ topic, partitions: 1 });
  const reader = await log.openReader();
  close.push(() => reader.close(), () => writer.close());
  const progress = new SinkProgress({
    reader, topic, epoch: 3, timeout: 60_000, isRunning: () => Promise.resolve(true), signal: new AbortController().signal, ...more,
  });
  const say = async (record: SinkRecord): Promise<void> => {
    const batch = writer.batch(topic, 0);
    batch.add(controlDraft(encodeControl(record), Date.now()));
    await writer.append([batch]);
  };
  return { progress, say };
}

function position(epoch: number, endLsn: bigint): SinkRecord {
  return { type: 'position', startId: '00112233445566aa', epoch, commitLsn: endLsn - 1n, endLsn, offset: 1 };
}

test('an LSN is passed once the sink has said that its replica is there, and not before', async (t) => {
  const { progress, say } = await setting(t);
  await say(position(3, 99n));
  const passed = progress.passed(100n);
  await say({ type: 'ask', table: 'public.orders', id: 'x' });
  await say(position(3, 100n));
  assert.equal(await passed, true);
  assert.equal(progress.endLsn, 100n);
  assert.equal(await progress.passed(90n), true);
  assert.equal(progress.standstill, null);
});

test('what the sink said in an older epoch is about another history', async (t) => {
  const { progress, say } = await setting(t, { timeout: 50 });
  await say(position(2, 1_000_000n));
  assert.equal(await progress.passed(100n), false);
  assert.equal(progress.standstill, 'stalled');
  assert.equal(progress.endLsn, null);
});

test('a sink that says nothing new for the timeout is given up, and not waited for again until it does', async (t) => {
  const { progress, say } = await setting(t, { timeout: 50 });
  await say(position(3, 99n));
  assert.equal(await progress.passed(100n), false);
  assert.equal(progress.standstill, 'stalled');
  assert.equal(await progress.passed(101n), false);
  await say(position(3, 101n));
  assert.equal(await progress.passed(101n), true);
  assert.equal(progress.standstill, null);
});

test('where no daemon runs nobody is waited for', async (t) => {
  const { progress, say } = await setting(t, { timeout: 50, isRunning: () => Promise.resolve(false) });
  await say(position(3, 99n));
  assert.equal(await progress.passed(100n), false);
  assert.equal(progress.standstill, 'not-running');
});

test('a sink that has no topic has never run', async (t) => {
  const { progress } = await setting(t, { topic: 'shop.sink.other' });
  assert.equal(await progress.passed(100n), false);
  assert.equal(progress.standstill, 'never-started');
});

test('an abort ends the wait', async (t) => {
  const abort = new AbortController();
  const { progress } = await setting(t, { signal: abort.signal });
  const passed = progress.passed(100n);
  abort.abort(new Error('enough'));
  await assert.rejects(passed, /enough/);
});
