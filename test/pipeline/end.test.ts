import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndRecord, ProgressRecord } from '../../src/pipeline/control-records.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { insert, ScriptedSource, truncate, update, type Written } from '../support/scripted-source.ts';
import { Bench, sorted, tableOf } from './harness.ts';
import { ends, events, transactions, type EventView } from './log-view.ts';

const items = tableOf('items', 2);
const orders = tableOf('orders', 2);
const plain = tableOf('plain', 1, { key: [] });

/** About `mebibytes` of inserts, spread over three tables in turn. */
function large(mebibytes: number): Written[] {
  const text = 'x'.repeat(10_000);
  return Array.from({ length: mebibytes * 105 }, (_, i) => insert([items, orders, plain][i % 3] as typeof items, i % 3 === 2 ? [`${i}${text}`] : [String(i), text]));
}

/** What a part has to say, counted in the table's topic. */
function partOf(topic: string, all: readonly EventView[], end: EndRecord): object {
  const mine = all.filter(({ startId, commitLsn }) => startId === end.startId && commitLsn === end.commitLsn);
  return { topic, count: mine.length, first: mine[0]?.offset, last: mine.at(-1)?.offset };
}

test('END: a transaction\'s events stand in the log before its END, and become durable with it or before', async (t) => {
  const source = new ScriptedSource([items, orders]);
  const bench = await Bench.open(t, source);
  await bench.start();
  bench.log.appends.length = 0;
  const one = source.commit([insert(items, ['1', 'a']), insert(orders, ['1', 'b'])]);
  await bench.acknowledged(one.endLsn);
  assert.deepEqual(bench.log.appends, [{ data: ['shop.schema', 'shop.public.items', 'shop.public.orders'], follow: ['shop.transaction'] }]);
});

test('END: over more than three groups and several topics, counts, first and last offsets are exact, and END comes with the last group', async (t) => {
  const source = new ScriptedSource([items, orders, plain]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const reader = await bench.reader();
  // Something else in front, so that no offset is 0 by chance.
  const small = source.commit([insert(items, ['a', 'a']), insert(orders, ['a', 'a']), insert(orders, ['b', 'b'])]);
  await bench.acknowledged(small.endLsn);
  bench.log.appends.length = 0;
  const [all, next] = [source.commit(large(14)), source.commit([insert(orders, ['z', 'z'])])];
  await bench.acknowledged(next.endLsn);
  const withEvents = bench.log.appends.filter(({ data }) => data.some((topic) => topic.startsWith('shop.public.')));
  assert.ok(withEvents.length > 3, `${withEvents.length} groups`);
  const records = (await transactions(reader)).filter((record) => record.type !== 'start' && record.commitLsn === all.commitLsn);
  const end = records.at(-1) as EndRecord;
  assert.equal(end.type, 'end');
  const expected = await Promise.all([items, orders, plain].map(async (table) => partOf(`shop.public.${table.name}`, await events(reader, table), end)));
  assert.deepEqual(end.parts.map(({ topic, count, first, last }) => ({ topic, count, first, last })), expected);
  assert.equal(end.parts.reduce((sum, { count }) => sum + count, 0), all.items.length - 2);
  assert.deepEqual(end.previous, { epoch: 1, commitLsn: small.commitLsn });
  // In front of it the log said how far it was, again and again: what END names as far as it was there.
  const progress = records.slice(0, -1) as ProgressRecord[];
  assert.ok(progress.length >= 5, `${progress.length} times`);
  for (const { type, startId, epoch, parts } of progress) {
    assert.deepEqual([type, startId, epoch], ['progress', end.startId, 1]);
    for (const { topic, first, last, count, bytes } of parts) {
      const whole = end.parts.find((part) => part.topic === topic);
      assert.deepEqual([first, count], [whole?.first, last - first + 1]);
      assert.ok(bytes > count * 10_000 && bytes < count * 10_200, `${bytes} bytes for ${count} events`);
    }
  }
  const counts = progress.map(({ parts }) => parts.reduce((sum, { count }) => sum + count, 0));
  assert.deepEqual(counts, [...new Set(counts)].toSorted((a, b) => a - b), 'each says more than the one before');
  // Sizes are for planning: about those of the records.
  for (const { bytes, count } of end.parts) assert.ok(bytes > count * 10_000 && bytes < count * 10_200, `${bytes} bytes for ${count} events`);
});

test('END: tombstones and schema records are not counted, both halves of a key change are', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const { rekey, remove } = await import('../support/scripted-source.ts');
  const one = source.commit([insert(items, ['1', 'a']), rekey(items, ['1', 'a'], ['2', undefined]), remove(items, ['2', 'a'])]);
  await bench.acknowledged(one.endLsn);
  const reader = await bench.reader();
  assert.deepEqual((await events(reader, items)).map(({ op, ordinal, half }) => [op, ordinal, half]), [['c', 0, 'whole'], ['d', 1, 'old'], ['u', 1, 'new'], ['d', 2, 'whole']]);
  assert.deepEqual((await ends(reader)).at(-1)?.parts.map(({ count, first, last }) => [count, first, last]), [[4, 0, 3]]);
});

test('END: a truncate of several tables has one ordinal and is counted in each of their topics', async (t) => {
  const source = new ScriptedSource([items, orders]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const one = source.commit([insert(items, ['1', 'a']), truncate(items, orders), insert(items, ['2', 'a'])]);
  await bench.acknowledged(one.endLsn);
  const reader = await bench.reader();
  const seen = await Promise.all([items, orders].map(async (table) => (await events(reader, table)).map(({ op, ordinal }) => [op, ordinal])));
  assert.deepEqual(seen, [[['c', 0], ['t', 1], ['c', 2]], [['t', 1]]]);
  assert.deepEqual((await ends(reader)).at(-1)?.parts.map(({ count }) => count), [3, 1]);
});

test('END: the ordinal counts every change that was sent, messages too', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const { message } = await import('../support/scripted-source.ts');
  const one = source.commit([message('app', 'x'), insert(items, ['1', 'a']), message('app', 'y'), message('app', 'z'), insert(items, ['2', 'a'])]);
  await bench.acknowledged(one.endLsn);
  assert.deepEqual((await events(await bench.reader(), items)).map(({ ordinal }) => ordinal), [1, 4]);
});

test('END: what a crash left of a large transaction is named by nobody, and passed over by readers', async (t) => {
  const source = new ScriptedSource([items, orders, plain]);
  const bench = await Bench.open(t, source, { sinks: ['local'] });
  await bench.start();
  const small = source.commit([insert(items, ['a', 'a'])]);
  await bench.acknowledged(small.endLsn);
  const from = bench.log.appends.length;
  bench.log.before = (append) => {
    if (append >= from + 2) throw new TailraceError('log-unwritable', 'scripted');
  };
  const all = source.commit(large(14));
  const failure = await bench.ended();
  assert.ok(failure instanceof TailraceError && failure.code === 'log-unwritable');
  assert.ok(source.acknowledged.every((position) => position <= small.endLsn));
  await bench.stop();
  bench.log.before = () => {};
  await bench.start();
  const sink = await bench.replay('local');
  await bench.acknowledged(all.endLsn);
  await sink.reaches(all.endLsn);
  const reader = await bench.reader();
  const [, leftover] = await events(reader, items);
  const end = (await ends(reader)).at(-1);
  assert.equal(leftover?.commitLsn, all.commitLsn, 'the crash left something');
  assert.ok((end?.parts[0]?.first ?? 0) > (leftover?.offset ?? 0), 'the END names what was written afterwards');
  for (const table of [items, orders, plain]) assert.deepEqual(sink.rows(table), sorted(source.rows(table.relid)), table.name);
});

test('END: the events of a connection that was lost in the middle of a transaction are named by nobody', async (t) => {
  const source = new ScriptedSource([plain]);
  const bench = await Bench.open(t, source, { sinks: ['local'] });
  await bench.start();
  source.pieces = 1;
  source.lostAfter = 3;
  const one = source.commit([insert(plain, ['1']), insert(plain, ['2']), insert(plain, ['3'])]);
  await bench.ended();
  await bench.start();
  const sink = await bench.replay('local');
  await bench.acknowledged(one.endLsn);
  await sink.reaches(one.endLsn);
  assert.deepEqual(sink.rows(plain), [['1'], ['2'], ['3']]);
});

test('END: one without events repeats the place, moves only the end LSN, and stands where the keepalive said', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source, { sinks: ['local'] });
  await bench.start();
  const one = source.commit([insert(items, ['1', 'a'])]);
  await bench.acknowledged(one.endLsn);
  const idle = source.keepalive();
  await bench.acknowledged(idle);
  const last = (await ends(await bench.reader())).at(-1);
  const place = { epoch: 1, commitLsn: one.commitLsn };
  assert.deepEqual([last?.epoch, last?.commitLsn, last?.previous, last?.endLsn, last?.parts], [1, one.commitLsn, place, idle, []]);
});

test('END: a keepalive\'s position that equals the next commit LSN loses nothing, nor does it after a restart', async (t) => {
  for (const restart of [false, true]) {
    const source = new ScriptedSource([items]);
    const bench = await Bench.open(t, source, { sinks: ['local'] });
    await bench.start();
    const one = source.commit([insert(items, ['1', 'a'])]);
    const idle = source.keepalive();
    await bench.acknowledged(idle);
    const sink = await bench.replay('local');
    await sink.reaches(idle);
    assert.equal(sink.replayer.progress.position?.commitLsn, one.commitLsn, 'it moves no position at a replica');
    if (restart) await bench.restart();
    const two = source.commit([insert(items, ['2', 'b'])], { adjacent: true });
    assert.equal(two.commitLsn, idle);
    await bench.acknowledged(two.endLsn);
    const after = restart ? await sink.stop().then(() => bench.replay('local')) : sink;
    await after.reaches(two.endLsn);
    assert.deepEqual(after.rows(items), [['1', 'a'], ['2', 'b']]);
    await bench.stop();
  }
});

test('Identity: a schema version stands in the log no later than the first event that names it, and two may stand in one transaction', async (t) => {
  const before = tableOf('items', 2);
  const after = tableOf('items', 3, { relid: before.relid });
  const source = new ScriptedSource([before]);
  const bench = await Bench.open(t, source, { sinks: ['local'] });
  await bench.start();
  const one = source.commit([insert(before, ['1', 'a']), insert(after, ['2', 'b', 'c']), update(after, ['1', 'a', 'd'])]);
  await bench.acknowledged(one.endLsn);
  const reader = await bench.reader();
  assert.deepEqual((await events(reader, before)).map(({ version }) => version), ['1.1', '1.2', '1.2']);
  // The same shapes again make no new version; after a restart versions are numbered in the new epoch.
  const two = source.commit([insert(after, ['3', 'b', 'c'])]);
  await bench.acknowledged(two.endLsn);
  await bench.restart();
  const again = { ...after, columns: after.columns.map((column) => ({ ...column })) };
  const other = tableOf('items', 4, { relid: before.relid });
  const three = source.commit([insert(again, ['4', 'b', 'c']), insert(other, ['5', 'b', 'c', 'd'])]);
  await bench.acknowledged(three.endLsn);
  assert.deepEqual((await events(await bench.reader(), before)).slice(3).map(({ version }) => version), ['1.2', '1.2', '2.1']);
  const sink = await bench.replay('local');
  await sink.reaches(three.endLsn);
  assert.deepEqual(sink.rows(other), [['1', 'a', 'd', null], ['2', 'b', 'c', null], ['3', 'b', 'c', null], ['4', 'b', 'c', null], ['5', 'b', 'c', 'd']]);
});
