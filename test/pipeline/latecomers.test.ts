import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { tableName, type TableShape } from '../../src/event/table.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import { origin, type EndRecord, type Place } from '../../src/pipeline/control-records.ts';
import { CoverageMap, type Coverage } from '../../src/pipeline/coverage.ts';
import { copyKey } from '../../src/pipeline/log-state.ts';
import { Retention } from '../../src/pipeline/retention.ts';
import { decide } from '../../src/pipeline/sink-start.ts';
import { topicNames } from '../../src/pipeline/topics.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { insert, remove, ScriptedSource, truncate, update } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { Bench, sorted, tableOf, type BenchOptions, type RunningSink } from './harness.ts';
import { ends, schemaRecords, sinkRecords } from './log-view.ts';
import { at, copyRecord } from './written-log.ts';

const items = tableOf('items', 2);
const orders = tableOf('orders', 2);
const notes = tableOf('notes', 2, { key: [] });

const only = (...tables: readonly TableShape[]) => ({ include: tables.map(tableName), exclude: [] });

test('latecomers: a table is applied from its copy on, from the beginning where there is none, or a copy of its own is asked for', () => {
  const copy = copyRecord('public.t');
  const none = { copy: null, known: undefined, position: null, oldest: null, snapshot: 'initial' as const };
  const cases: [Parameters<typeof decide>[0], Place | 'ask', string][] = [
    [{ ...none, copy }, at(1, 20n), 'a new sink'],
    [{ ...none, copy, position: at(1, 10n) }, at(1, 20n), 'a table new to a sink that has not come to its copy yet'],
    [{ ...none, copy, position: at(1, 20n) }, 'ask', 'a table new to a sink that has passed the beginning of its copy'],
    [{ ...none, copy, position: at(2, 1n) }, 'ask', 'or is in a later epoch'],
    [{ ...none, copy, oldest: at(1, 20n) }, at(1, 20n), 'the copy is the first that the log still holds'],
    [{ ...none, copy, oldest: at(1, 21n) }, 'ask', 'the log does not hold its beginning any more'],
    [{ ...none, copy, known: at(1, 5n), position: at(1, 90n), oldest: at(1, 80n) }, at(1, 5n), 'a table that the sink has always had'],
    [none, origin, 'no copy has begun: it is to come'],
    [{ ...none, position: at(1, 90n) }, origin, 'the same for a sink that is there'],
    [{ ...none, snapshot: 'never' }, origin, 'snapshot never: the log is all there is'],
    [{ ...none, snapshot: 'never', position: at(1, 90n) }, 'ask', 'snapshot never: a table new to a sink that has passed over its events'],
  ];
  for (const [facts, outcome, what] of cases) assert.deepEqual(decide(facts), outcome, what);
});

test('latecomers: coverage: passed over before its place, copying until the copy ends, complete behind it', () => {
  const copies = new Map([[copyKey('public.t', null), copyRecord('public.t')], [copyKey('public.t', 'other'), copyRecord('public.t', { begin: at(1, 80n), place: at(1, 90n) })]]);
  const end = (place: Place, snapshot: EndRecord['snapshot'] = null): EndRecord => ({ type: 'end', startId: '00', ...place, endLsn: 0n, commitTime: 0n, previous: origin, parts: [], snapshot });
  const piece = (place: Place, first: boolean, last: boolean, sink: string | null = null): EndRecord => end(place, { record: 'x', table: 'public.t', first, last, sink });
  const map = new CoverageMap('mine', 'initial', { copies, passed: copies });
  assert.equal(map.copy('public.t')?.place.commitLsn, 30n, 'what another sink asked for is none of ours');
  map.startAt('public.t', at(1, 20n));
  const seen = (...places: bigint[]): Coverage[] => places.map((commitLsn) => map.at('public.t', at(1, commitLsn)));
  assert.deepEqual(seen(19n, 20n, 30n, 31n), ['pass-over', 'copying', 'copying', 'complete']);
  assert.equal(map.concerns(piece(at(1, 40n), true, true, 'other')), false);
  map.pass(piece(at(1, 40n), true, true, 'other'));
  assert.deepEqual(seen(41n), ['complete'], 'another sink\'s copy changes nothing');
  map.pass(piece(at(1, 50n), true, false));
  assert.deepEqual(seen(50n, 55n), ['copying', 'copying'], 'it is copied once more');
  map.pass(piece(at(1, 60n), false, true, 'mine'));
  assert.deepEqual(seen(60n, 61n), ['copying', 'complete']);
  map.await('public.t');
  map.pass(piece(at(1, 70n), true, true));
  assert.deepEqual(seen(71n), ['pass-over'], 'a copy for all does not open a table that waits for its own');
  map.pass(piece(at(1, 75n), true, false, 'mine'));
  assert.deepEqual(seen(74n, 75n), ['pass-over', 'copying']);
  map.forgetCopies();
  assert.deepEqual(seen(99n), ['copying'], 'behind a gap a row may be missing');
  assert.equal(new CoverageMap('mine', 'never', { copies: new Map(), passed: new Map() }).at('public.u', at(1, 1n)), 'partial');
  const voided = new CoverageMap('mine', 'initial', { copies: new Map([[copyKey('public.t', null), copyRecord('public.t', { relid: 0 })]]), passed: new Map() });
  assert.equal(voided.at('public.t', at(1, 99n)), 'copying', 'a copy that was declared void');
});

/** A pipeline with a source of several tables whose rows stood before. */
async function settingOf(t: TestContext, tables: readonly TableShape[], options: BenchOptions = {}): Promise<{ source: ScriptedSource; bench: Bench }> {
  const source = new ScriptedSource(tables);
  for (const table of tables) source.commit([1, 2, 3].map((n) => insert(table, [`${n}`, 'stood before'])), { unsent: true });
  const bench = await Bench.open(t, source, { snapshot: 'initial', sinks: ['local', 'other'], ...options });
  return { source, bench };
}

async function equal(source: ScriptedSource, sink: RunningSink, ...tables: readonly TableShape[]): Promise<void> {
  for (const table of tables) {
    const expected = sorted(source.rows(table.relid));
    await eventually(() => assert.deepEqual(sink.rows(table), expected) === undefined, { what: `${table.name} to be equal`, timeoutMs: 30_000 });
  }
}

async function copied(bench: Bench): Promise<void> {
  await eventually(() => bench.publisher.session?.progress.every(({ state }) => state === 'done'), { what: 'the copies', timeoutMs: 30_000 });
  // The last watermark's END.
  await bench.acknowledged(bench.source.lsn);
}

test('latecomers: a sink registers its start before it reads, and what it registered is durable by then', async (t) => {
  const { source, bench } = await settingOf(t, [items]);
  const publisher = await bench.start();
  await copied(bench);
  const order: string[] = [];
  const reader = await bench.log.openReader();
  const watched = new Proxy(reader, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (topic: string, ...rest: unknown[]) => {
        if (name === 'fetch' && topic === 'shop.public.items') order.push('events');
        return (value as (...args: unknown[]) => unknown).call(target, topic, ...rest);
      };
    },
  });
  const sink = await bench.replay('local', {
    reader: watched,
    reporter: {
      append: async (kind, draft) => {
        await publisher.appendForSink('local', kind, draft);
        const said = (await sinkRecords(bench.publisher.reader, 'local')).at(-1);
        order.push(said?.type ?? 'nothing');
      },
    },
  });
  await equal(source, sink, items);
  assert.equal(order[0], 'register');
  assert.ok(order.includes('events'));
  assert.deepEqual((await sinkRecords(publisher.reader, 'local'))[0], {
    at: 0, type: 'register', filter: { include: ['*.*'], exclude: [] }, offset: 0,
    tables: { 'public.items': (await schemaRecords(publisher.reader)).flatMap((record) => (record.type === 'snapshot' ? [record.begin] : []))[0] },
  });
});

test('latecomers: a new sink begins at the copies: what was streamed before a table\'s copy is passed over', async (t) => {
  const { source, bench } = await settingOf(t, [items, orders]);
  const gate = Promise.withResolvers<void>();
  source.onEntered = async (table) => (table === orders ? gate.promise : undefined);
  await bench.start();
  await bench.acknowledged(source.commit([insert(orders, ['9', 'streamed before its copy'])]).endLsn);
  // Its going is never sent: only a copy tells of it, by not having it.
  source.commit([remove(orders, ['9', ''])], { unsent: true });
  gate.resolve();
  await copied(bench);
  source.commit([update(orders, ['1', 'changed']), insert(items, ['4', 'new'])]);
  const sink = await bench.replay('local');
  await equal(source, sink, items, orders);
});

test('latecomers: a table new to a sink that has passed its copy gets one of its own; until it begins the table is passed over, and other sinks leave it out', async (t) => {
  const { source, bench } = await settingOf(t, [items, orders]);
  await bench.start();
  await copied(bench);
  const other = await bench.replay('other');
  let local = await bench.replay('local', { filter: only(items) });
  await equal(source, local, items);
  await equal(source, other, items, orders);
  await local.stop();
  await eventually(() => other.replayer.progress.endLsn >= source.lsn);
  const applied = other.replayer.progress.applied;
  // The replica has a table of that name from earlier days.
  const entered = Promise.withResolvers<void>();
  const lost = Promise.withResolvers<void>();
  source.onEntered = () => Promise.race([entered.promise, lost.promise]);
  local = await bench.replay('local', { filter: only(items, orders) });
  const asks = async (): Promise<string[]> => (await sinkRecords(bench.publisher.reader, 'local')).flatMap((record) => (record.type === 'ask' ? [record.table] : []));
  assert.deepEqual(await asks(), ['public.orders']);
  source.commit([insert(orders, ['4', 'streamed while it waits']), insert(items, ['4', 'applied meanwhile'])]);
  await equal(source, local, items);
  await eventually(() => local.replayer.progress.endLsn >= source.lsn);
  assert.deepEqual(local.rows(orders), [], 'passed over');
  assert.deepEqual(local.replayer.progress.awaiting, ['public.orders']);
  // It goes away in the middle and comes back, and so does the publisher: the ask stands, and is answered once.
  await local.stop();
  lost.reject(new TailraceError('source-unreachable', 'scripted'));
  await bench.ended();
  source.onEntered = () => entered.promise;
  await bench.start();
  local = await bench.replay('local', { filter: only(items, orders) });
  entered.resolve();
  await equal(source, local, items, orders);
  assert.deepEqual(await asks(), ['public.orders'], 'it asked once');
  const addressed = (await ends(bench.publisher.reader)).filter(({ snapshot }) => snapshot?.sink === 'local');
  assert.equal(addressed.filter(({ snapshot }) => snapshot?.first).length, 1, 'and was answered once');
  assert.ok(addressed.every(({ snapshot }) => snapshot?.table === 'public.orders'));
  await equal(source, other, items, orders);
  await eventually(() => other.replayer.progress.endLsn >= source.lsn);
  assert.equal(other.replayer.progress.applied, applied + 2, 'the other took in the two inserts and nothing of the copy');
  // And later lives of the sink go on from there.
  await local.stop();
  source.commit([update(orders, ['4', 'again'])]);
  local = await bench.replay('local', { filter: only(items, orders) });
  await equal(source, local, items, orders);
  assert.equal((await asks()).length, 1);
});

/** Both tables are copied, and `local` has been given one of them. */
async function withItemsAlone(t: TestContext): ReturnType<typeof settingOf> {
  const setting = await settingOf(t, [items, orders]);
  await setting.bench.start();
  await copied(setting.bench);
  const early = await setting.bench.replay('local', { filter: only(items) });
  await equal(setting.source, early, items);
  await early.stop();
  return setting;
}

test('latecomers: a table that is dropped while a sink is given a copy of its own of it, and made again, comes to that sink; no connection is lost over it', async (t) => {
  const { source, bench } = await withItemsAlone(t);
  const again = tableOf('orders', 2);
  const reading = Promise.withResolvers<void>();
  source.onChunk = (phase, { table }) => {
    if (phase !== 'low' || table.relid !== orders.relid) return;
    source.onChunk = () => {};
    source.tables = [items, again];
    source.commit([insert(again, ['9', 'made again'])], { unsent: true });
    reading.resolve();
  };
  const sink = await bench.replay('local', { filter: only(items, orders) });
  await reading.promise;
  await equal(source, sink, items, again);
  source.commit([update(again, ['9', 'then']), insert(items, ['7', 'streamed'])]);
  await equal(source, sink, items, again);
  assert.equal(source.sessions.length, 1);
});

test('latecomers: what a sink asks for while the table is gone it gets when a table of that name is made', async (t) => {
  const { source, bench } = await withItemsAlone(t);
  await bench.disconnect();
  source.tables = [items];
  await bench.start();
  const sink = await bench.replay('local', { filter: only(items, orders) });
  assert.deepEqual(sink.replayer.progress.awaiting, ['public.orders']);
  const again = tableOf('orders', 2);
  source.commit([insert(again, ['9', 'made again'])], { unsent: true });
  source.tables = [items, again];
  await equal(source, sink, items, again);
});

test('latecomers: a sink empties the table that it is given a copy of its own of', async (t) => {
  const { source, bench } = await settingOf(t, [items, notes]);
  await bench.start();
  await copied(bench);
  let local = await bench.replay('local');
  await equal(source, local, items, notes);
  await local.stop();
  local = await bench.replay('local', { filter: only(items) });
  await equal(source, local, items);
  // It does not hear of what happens to notes, and its replica still has the rows.
  source.commit([remove(notes, ['2', 'stood before']), insert(notes, ['1', 'stood before']), insert(items, ['4', 'x'])]);
  await equal(source, local, items);
  await local.stop();
  local = await bench.replay('local');
  await equal(source, local, items, notes);
});

test('latecomers: where the log no longer holds a table\'s copy a new sink asks for one of its own', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  const { source, bench } = await settingOf(t, [items, notes], { sinks: ['local'], log: { segmentSize: 1 } });
  const publisher = await bench.openPublisher();
  const retention = new Retention(publisher, { topics: topicNames('shop'), retention: { age: 5000 }, sinks: [] }, silentLogger);
  await bench.start();
  await copied(bench);
  t.mock.timers.setTime(1_100_000);
  // Nothing has happened since the copies: the only ENDs that are left repeat the place of the last of them.
  await retention.enforce();
  await bench.settled();
  t.mock.timers.setTime(1_200_000);
  await retention.enforce();
  await retention.enforce();
  assert.deepEqual((await ends(publisher.reader)).filter(({ parts, snapshot }) => parts.length > 0 || snapshot !== null), []);
  const local = await bench.replay('local');
  assert.deepEqual((await sinkRecords(publisher.reader, 'local')).flatMap((record) => (record.type === 'ask' ? [record.table] : [])).toSorted(), ['public.items', 'public.notes']);
  await equal(source, local, items, notes);
});

test('latecomers: a sink that was forgotten, or whose replica is gone, begins anew, whatever its topic says', async (t) => {
  const { source, bench } = await settingOf(t, [items, orders]);
  const publisher = await bench.start();
  await copied(bench);
  let local = await bench.replay('local', { filter: only(items) });
  await equal(source, local, items);
  await local.stop();
  // An ask that was never answered before it was forgotten is answered to nobody.
  await publisher.appendForSink('local', 'sink', { key: null, value: encodeControl({ type: 'ask', table: 'public.orders', id: 'before' }) });
  await publisher.appendForSink('local', 'sink', { key: null, value: encodeControl({ type: 'forgotten' }) });
  await bench.disconnect();
  rmSync(local.path);
  await bench.start();
  local = await bench.replay('local');
  await equal(source, local, items, orders);
  assert.deepEqual((await ends(publisher.reader)).filter(({ snapshot }) => snapshot?.sink === 'local'), []);
  await local.stop();
  for (const suffix of ['', '-wal', '-shm']) rmSync(local.path + suffix, { force: true });
  source.commit([truncate(items), insert(items, ['7', 'after'])]);
  local = await bench.replay('local');
  await equal(source, local, items, orders);
});

test('latecomers: with snapshot never a full update of a missing row inserts it; a partial one and a delete are counted, and are no error', async (t) => {
  const { source, bench } = await settingOf(t, [items], { snapshot: 'never' });
  await bench.start();
  source.commit([update(items, ['1', 'whole']), update(items, ['2', undefined]), remove(items, ['3', '']), insert(items, ['4', 'new'])]);
  const local = await bench.replay('local');
  await local.reaches(source.lsn);
  assert.deepEqual(local.rows(items), [['1', 'whole'], ['4', 'new']]);
  assert.equal(local.replayer.progress.missing, 2);
  assert.equal(await local.stop(), null);
});
