import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import type { StartRecord } from '../../src/pipeline/control-records.ts';
import { controlDraft } from '../../src/pipeline/group.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { insert, ScriptedSource } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { Bench, tableOf } from './harness.ts';
import { ends, events, starts, transactions } from './log-view.ts';

const items = tableOf('items', 2);
const isGap = (error: unknown): boolean => error instanceof TailraceError && error.code === 'gap';

test('START: the slot is taken before START is written', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  bench.log.before = () => assert.equal(source.sessions.length, 1, 'the slot is held when the log hears of it');
  await bench.start();
  const [start] = await starts(await bench.reader());
  assert.deepEqual(start, {
    type: 'start', logId: bench.publisher.writer.logId, epoch: 1, startId: start?.startId, systemIdentifier: '7412345678901234567', timeline: 1,
    slot: 'tailrace_shop', tables: ['public.items'], continues: null, gap: null, at: 0,
  });
  assert.match(start?.startId ?? '', /^[0-9a-f]{16}$/);
});

test('START: each taking of the slot writes one, of the next epoch, which names the END that it continues from', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const one = source.commit([insert(items, ['1', 'a'])]);
  await bench.acknowledged(one.endLsn);
  source.lose();
  const lost = await bench.ended();
  assert.ok(lost instanceof TailraceError && lost.code === 'source-unreachable');
  await bench.start();
  await bench.restart();
  const written = await starts(await bench.reader());
  assert.deepEqual(written.map(({ epoch }) => epoch), [1, 2, 3]);
  assert.equal(new Set(written.map(({ startId }) => startId)).size, 3);
  assert.deepEqual(written.map(({ continues }) => continues), [null, ...[2, 3].map(() => ({ epoch: 1, commitLsn: one.commitLsn, endLsn: one.endLsn }))]);
});

test('START: one of the same or a higher epoch that stands before makes it void, and another is appended', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  const publisher = await bench.openPublisher();
  // Another publisher's STARTs get into the topic just before each of our first two.
  const rivals = [7, 8];
  bench.log.before = async () => {
    const epoch = rivals.shift();
    if (epoch === undefined) return;
    const rival: StartRecord = {
      type: 'start', logId: publisher.writer.logId, epoch, startId: `rival${epoch}`, systemIdentifier: 'x', timeline: 1, slot: 's', tables: [], continues: null, gap: null,
    };
    const batch = publisher.writer.batch('shop.transaction', 0);
    batch.add(controlDraft(encodeControl(rival), 0));
    await publisher.writer.append([batch]);
  };
  // The rival's own append passes the hook too.
  const before = bench.log.before;
  let nested = false;
  bench.log.before = async (append) => {
    if (nested) return;
    nested = true;
    await before(append);
    nested = false;
  };
  await bench.start();
  const one = source.commit([insert(items, ['1', 'a'])]);
  await bench.acknowledged(one.endLsn);
  const reader = await bench.reader();
  const written = await starts(reader);
  assert.deepEqual(written.map(({ epoch, startId }) => [epoch, startId.startsWith('rival')]), [[7, true], [1, false], [8, true], [8, false], [9, false]]);
  const last = (await ends(reader)).at(-1);
  assert.deepEqual([last?.startId, last?.epoch], [written.at(-1)?.startId, 9]);
});

test('START: a log without an END gets one without events at confirmed_flush, right behind START and before any acknowledgement', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  const reader = await bench.openPublisher().then(() => bench.reader());
  let seen: readonly unknown[] | null = null;
  const looked = Promise.withResolvers<void>();
  source.onAcknowledge = () => {
    if (seen !== null) return;
    seen = [];
    void transactions(reader).then((records) => {
      seen = records.map((record) => [record.type, record.type === 'end' ? [record.epoch, record.commitLsn, record.endLsn, record.parts.length] : record.epoch]);
      looked.resolve();
    });
  };
  await bench.start();
  await looked.promise;
  const flush = source.sessions[0]?.server.confirmedFlush;
  assert.deepEqual(seen, [['start', 1], ['end', [0, 0n, flush, 0]]]);
  assert.deepEqual(source.acknowledged, [flush]);
});

test('START: a crash between the first START and its END leaves no gap, wherever the slot has come to meanwhile', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  bench.log.before = (append) => {
    if (append === 1) throw new TailraceError('log-unwritable', 'scripted');
  };
  await bench.start().then(() => assert.fail('it cannot stream'), () => undefined);
  await bench.stop();
  bench.log.before = () => {};
  source.commit([insert(items, ['1', 'a'])]);
  source.server = { ...source.server, confirmedFlush: source.lsn };
  await bench.start();
  const written = await transactions(await bench.reader());
  assert.deepEqual(written.map((record) => [record.type, record.epoch]), [['start', 1], ['start', 2], ['end', 0]]);
});

test('START: what the server sends again up to the last END is passed over', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const [one, two] = [source.commit([insert(items, ['1', 'a'])]), source.commit([insert(items, ['2', 'b'])])];
  await bench.acknowledged(two.endLsn);
  await bench.stop();
  // The acknowledgements never reached the server.
  source.server = { ...source.server, confirmedFlush: 0x1000n };
  await bench.start();
  const three = source.commit([insert(items, ['3', 'c'])]);
  await bench.acknowledged(three.endLsn);
  const reader = await bench.reader();
  assert.deepEqual((await events(reader, items)).map(({ commitLsn, epoch }) => [commitLsn, epoch]), [[one.commitLsn, 1], [two.commitLsn, 1], [three.commitLsn, 2]]);
  const last = (await ends(reader)).at(-1);
  assert.deepEqual(last?.previous, { epoch: 1, commitLsn: two.commitLsn });
});

test('START: ENDs that a zombie writes behind a newer START are no position to the next publisher', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const one = source.commit([insert(items, ['1', 'a'])]);
  await bench.acknowledged(one.endLsn);
  const [old] = await starts(await bench.reader());
  const publisher = await bench.restart();
  const zombie = publisher.writer.batch('shop.transaction', 0);
  const place = { epoch: 1, commitLsn: 0x9999n };
  const part = { topic: 'shop.public.items', partition: 0, count: 1, first: 0, last: 0, bytes: 1 };
  zombie.add(controlDraft(encodeControl({ type: 'end', startId: old?.startId ?? '', ...place, endLsn: 0x99999n, commitTime: 0n, previous: place, parts: [part], snapshot: null }), 0));
  await publisher.exclusively((writer) => writer.append([zombie]));
  await bench.restart();
  const last = (await starts(await bench.reader())).at(-1);
  assert.deepEqual(last?.continues, { epoch: 1, commitLsn: one.commitLsn, endLsn: one.endLsn });
  const two = source.commit([insert(items, ['2', 'b'])]);
  await bench.acknowledged(two.endLsn);
  assert.equal((await events(await bench.reader(), items)).length, 2);
});

test('START: a renewed one stands between two transactions, and its ENDs go on with the chain', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const one = source.commit([insert(items, ['1', 'a'])]);
  await bench.acknowledged(one.endLsn);
  const { session } = bench.publisher;
  assert.equal(session?.start.cornerstone, 0, 'an END of the first START is durable');
  // Asked for in the middle of a transaction.
  source.pieces = 1;
  const two = source.commit([insert(items, ['2', 'b']), insert(items, ['3', 'c'])]);
  await eventually(() => (session?.counts.changes ?? 0) > 1);
  session?.start.request();
  await bench.acknowledged(two.endLsn);
  const three = source.commit([insert(items, ['4', 'd'])]);
  await bench.acknowledged(three.endLsn);
  const reader = await bench.reader();
  const written = (await transactions(reader)).filter((record) => record.type === 'start' || record.parts.length > 0);
  assert.deepEqual(written.map(({ type, epoch }) => [type, epoch]), [['start', 1], ['end', 1], ['end', 1], ['start', 2], ['end', 2]]);
  const [first, , , renewed, last] = written;
  assert.notEqual(renewed?.startId, first?.startId);
  assert.deepEqual(renewed?.type === 'start' && renewed.continues, { epoch: 1, commitLsn: two.commitLsn, endLsn: two.endLsn });
  assert.deepEqual(last?.type === 'end' && [last.startId, last.previous], [renewed?.startId, { epoch: 1, commitLsn: two.commitLsn }]);
  assert.ok((session?.start.cornerstone ?? 0) >= 3);
  assert.deepEqual((await events(reader, items)).map(({ startId }) => startId), [first, first, first, renewed].map((start) => start?.startId));
});

test('START: after a change of timeline the stream goes on from the branch, and nothing behind it is acknowledged', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const one = source.commit([insert(items, ['1', 'a'])]);
  const idle = source.keepalive();
  await bench.acknowledged(idle);
  await bench.stop();
  // The standby had all commits, and not the WAL of others that the keepalive named.
  const branch = one.endLsn + 0x10n;
  const other = new ScriptedSource([items]);
  other.commit([], { unsent: true });
  const two = other.commit([insert(items, ['2', 'b'])]);
  assert.ok(two.commitLsn < idle, 'it stands where the old timeline had something else');
  other.server = { ...other.server, timeline: 2, timelineSwitch: branch, confirmedFlush: one.endLsn, slotCreated: false };
  const next = await bench.on(other);
  await next.start();
  assert.deepEqual(other.acknowledged, [branch]);
  await next.acknowledged(two.endLsn);
  const reader = await next.reader();
  assert.deepEqual((await events(reader, items)).map(({ commitLsn }) => commitLsn), [one.commitLsn, two.commitLsn]);
  assert.deepEqual((await ends(reader)).at(-1)?.previous, { epoch: 1, commitLsn: one.commitLsn });
});

test('gap: on_gap stop ends publishing before anything is written or acknowledged', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const one = source.commit([insert(items, ['1', 'a'])]);
  await bench.acknowledged(one.endLsn);
  await bench.stop();
  source.commit([insert(items, ['2', 'b'])]);
  source.server = { ...source.server, confirmedFlush: source.lsn };
  source.acknowledged.length = 0;
  const appends = bench.log.appends.length;
  await assert.rejects(bench.start(), isGap);
  assert.equal(bench.log.appends.length, appends);
  assert.deepEqual(source.acknowledged, []);
});
