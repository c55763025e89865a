import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { tableName } from '../../src/event/table.ts';
import type { LogReader } from '../../src/log/log.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import { origin, type SinkRecord } from '../../src/pipeline/control-records.ts';
import { cutOffset, Retention, type RetentionRules } from '../../src/pipeline/retention.ts';
import { tidySinkTopic, whatCounts } from '../../src/pipeline/sink-topic.ts';
import { topicNames } from '../../src/pipeline/topics.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { armFailpoint } from '../../src/runtime/failpoint.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { batchOf, record } from '../contract/log-samples.ts';
import { insert, ScriptedSource } from '../support/scripted-source.ts';
import { Bench, tableOf } from './harness.ts';
import { ends, events, schemaRecords, sinkRecords, starts, transactions } from './log-view.ts';

const items = tableOf('items', 2);
const orders = tableOf('orders', 2);

// Failpoints are for tests alone.
process.env['NODE_ENV'] = 'test';

/** Every append is a segment of its own: what may go can go. */
const everyAppend = { segmentSize: 1 };

test('retention: by age goes what is old and no sink needs; at the size limit whatever no sink holds; never the last START or what is behind it', () => {
  const sinks = [{ hold: false, offset: 50 }, { hold: true, offset: 70 }];
  const cases: [Parameters<typeof cutOffset>[0], number, string][] = [
    [{ start: 10, end: 90, aged: 40, oversized: 10, sinks }, 40, 'old, and every sink has it'],
    [{ start: 10, end: 90, aged: 60, oversized: 10, sinks }, 50, 'old, and a sink needs it'],
    [{ start: 10, end: 90, aged: 10, oversized: 60, sinks }, 60, 'too large, and a sink that does not hold it needs it'],
    [{ start: 10, end: 90, aged: 10, oversized: 80, sinks }, 70, 'too large, and a sink holds it'],
    [{ start: 10, end: 55, aged: 99, oversized: 99, sinks: [] }, 55, 'the last START and END stay'],
    [{ start: 10, end: 0, aged: 99, oversized: 99, sinks: [] }, 10, 'no START has an END yet'],
    [{ start: 10, end: 90, aged: 60, oversized: 99, sinks: [{ hold: true, offset: 0 }] }, 10, 'a sink that has not begun'],
    [{ start: 10, end: 90, aged: 30, oversized: 20, sinks: [{ hold: false, offset: 99 }] }, 30, 'the further of the two'],
  ];
  for (const [limits, cut, what] of cases) assert.equal(cutOffset(limits), cut, what);
});

/** A pipeline whose retention is enforced when the test says so. */
class Keeping {
  readonly source: ScriptedSource;
  readonly bench: Bench;
  readonly rules: RetentionRules;
  retention!: Retention;
  #rows = 0;

  private constructor(source: ScriptedSource, bench: Bench, rules: RetentionRules) {
    this.source = source;
    this.bench = bench;
    this.rules = rules;
  }

  static async open(t: TestContext, rules: Omit<RetentionRules, 'topics'>, log: { readonly segmentSize?: number } = everyAppend): Promise<Keeping> {
    const source = new ScriptedSource([items, orders]);
    const bench = await Bench.open(t, source, { sinks: rules.sinks.map(({ name }) => name), log });
    const keeping = new Keeping(source, bench, { topics: topicNames('shop'), ...rules });
    await keeping.start();
    return keeping;
  }

  async start(): Promise<void> {
    const publisher = await this.bench.openPublisher();
    this.retention = new Retention(publisher, this.rules, silentLogger);
    await this.bench.start();
  }

  get reader(): LogReader {
    return this.bench.publisher.reader;
  }

  /** Transactions of one row each, each in an append of its own. */
  async commit(count: number, table = items, bytes = 1): Promise<void> {
    for (let i = 0; i < count; i++) {
      const { endLsn } = this.source.commit([insert(table, [String(this.#rows++), 'x'.repeat(bytes)])]);
      await this.bench.acknowledged(endLsn);
    }
  }

  /** A round, and where it wants to cut behind the last START one more, with a transaction between for the new START. */
  async enforce(): Promise<void> {
    await this.retention.enforce();
    await this.commit(1);
    await this.retention.enforce();
  }

  /** Every END that is there has all its events. */
  async isWhole(): Promise<void> {
    const held = new Map<string, Set<number>>();
    for (const table of [items, orders]) held.set(`shop.${tableName(table)}`, new Set((await events(this.reader, table)).map(({ offset }) => offset)));
    for (const { parts, at } of await ends(this.reader)) {
      for (const { topic, first, last } of parts) {
        for (let offset = first; offset <= last; offset++) assert.ok(held.get(topic)?.has(offset), `END at ${at} names offset ${offset} of ${topic}`);
      }
    }
  }

  /** The offset of the first record of `transaction` that is held. */
  async begin(): Promise<number> {
    return (await this.reader.range('shop.transaction', 0)).start;
  }
}

const noSinks = { sinks: [] };

test('retention: by age the ENDs go and with them their events; the schema, the last START and an END behind it stay', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  const keeping = await Keeping.open(t, { retention: { age: 5000 }, ...noSinks });
  await keeping.commit(5);
  t.mock.timers.setTime(1_000_000 + 5001);
  const young = keeping.source.lsn;
  await keeping.commit(3);
  await keeping.enforce();
  const left = await ends(keeping.reader);
  assert.ok((await keeping.begin()) > 0);
  assert.deepEqual(left.filter(({ commitLsn, parts }) => parts.length > 0 && commitLsn < young), [], 'every old END is gone');
  assert.equal(left.filter(({ parts }) => parts.length > 0).length, 4, 'and no younger one');
  assert.deepEqual((await events(keeping.reader, items)).map(({ texts }) => texts[0]?.[0]), ['5', '6', '7', '8']);
  await keeping.isWhole();
  assert.equal((await schemaRecords(keeping.reader))[0]?.at, 0);
  assert.equal((await starts(keeping.reader)).length, 1, 'the START that was renewed is gone, the new one is there');
  // Nothing young is left: the last START and END stay all the same, and a new life continues from them.
  t.mock.timers.setTime(1_000_000 + 100_000);
  await keeping.enforce();
  await keeping.retention.enforce();
  assert.equal((await starts(keeping.reader)).length, 1);
  const last = (await ends(keeping.reader)).at(-1);
  await keeping.bench.stop();
  await keeping.start();
  const all = await transactions(keeping.reader);
  const renewed = all.findLast((record) => record.type === 'start');
  assert.deepEqual(renewed?.continues, { epoch: last?.epoch, commitLsn: last?.commitLsn, endLsn: last?.endLsn });
  await keeping.commit(1);
  await keeping.isWhole();
});

test('retention: by age nothing goes that a sink still needs, and a sink that has said nothing needs everything', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  const keeping = await Keeping.open(t, { retention: { age: 5000 }, sinks: [{ name: 'local', hold: false }] });
  await keeping.commit(5);
  t.mock.timers.setTime(1_000_000 + 10_000);
  await keeping.enforce();
  assert.equal(await keeping.begin(), 0, 'the sink was never there');
  const sink = await keeping.bench.replay('local');
  await sink.reaches(keeping.source.lsn);
  await sink.stop();
  // It registered at the beginning, and its position was never reported behind that: it needs everything still.
  const said = await sinkRecords(keeping.reader, 'local');
  const reported = said.findLast((record) => record.type === 'position');
  await keeping.commit(5);
  t.mock.timers.setTime(1_000_000 + 30_000);
  await keeping.enforce();
  await keeping.enforce();
  assert.equal(reported?.type, 'position');
  assert.equal(await keeping.begin(), reported.offset, 'everything in front of the END that it stands at');
  await keeping.isWhole();
  const again = await keeping.bench.replay('local');
  await again.reaches(keeping.source.lsn);
  assert.equal(again.rows(items).length, 13);
});

test('retention: a sink whose replica was put back from a copy is waited for from where it stands now', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  const keeping = await Keeping.open(t, { retention: { age: 5000 }, sinks: [{ name: 'local', hold: false }] });
  await keeping.commit(8);
  const register: SinkRecord = { type: 'register', filter: { include: ['*.*'], exclude: [] }, tables: {}, at: { epoch: 1, commitLsn: 1n }, offset: 4 };
  const position: SinkRecord = { type: 'position', startId: '00', epoch: 1, commitLsn: 9n, endLsn: 9n, offset: 7 };
  for (const record of [position, register]) await keeping.bench.publisher.appendForSink('local', 'sink', { key: null, value: encodeControl(record) });
  t.mock.timers.setTime(1_000_000 + 10_000);
  await keeping.enforce();
  assert.equal(await keeping.begin(), 4);
  await keeping.bench.publisher.appendForSink('local', 'sink', { key: null, value: encodeControl({ type: 'forgotten' }) });
  await keeping.enforce();
  assert.ok((await keeping.begin()) > 7, 'a sink that was forgotten needs nothing');
});

test('retention: at the size limit the oldest goes although a sink needs it, which is a gap for that sink; one that holds keeps it', async (t) => {
  const size = 80_000;
  for (const hold of [false, true]) {
    const keeping = await Keeping.open(t, { retention: { size }, sinks: [{ name: 'local', hold }] });
    await keeping.commit(3, orders);
    const first = await keeping.bench.replay('local');
    await first.reaches(keeping.source.lsn);
    await first.stop();
    await keeping.commit(40, items, 4000);
    await keeping.enforce();
    await keeping.enforce();
    const kept = (await events(keeping.reader, items)).length;
    const second = await keeping.bench.replay('local');
    if (hold) {
      assert.equal(kept, 42);
      await second.reaches(keeping.source.lsn);
      assert.equal(second.rows(items).length, 42);
    } else {
      assert.ok(kept >= 10 && kept < 20, `${kept} of 4000 bytes in ${size}`);
      const error = await second.ended();
      assert.ok(error instanceof TailraceError && error.code === 'gap', String(error));
      assert.match(error.message, /transactions are missing from the log/);
      assert.equal(second.rows(items).length, 0, 'nothing behind the gap was applied');
      assert.equal((await events(keeping.reader, orders)).length, 0, 'a topic that no END names any more is emptied too');
    }
    await keeping.isWhole();
    await keeping.bench.stop();
  }
});

test('retention: what people produce is not counted against the size limit, and takes no transaction with it', async (t) => {
  const keeping = await Keeping.open(t, { retention: { size: 400_000 }, ...noSinks });
  await keeping.commit(5);
  const { writer } = keeping.bench.publisher;
  await writer.createTopic({ topic: 'shop.clicks', partitions: 1 });
  await writer.append([batchOf(writer, ['shop.clicks', 0], [record('x'.repeat(500_000))])]);
  const before = await ends(keeping.reader);
  await keeping.enforce();
  assert.deepEqual((await ends(keeping.reader)).slice(0, before.length), before);
});

test('retention: few large transactions go at the size limit, although their ENDs fill no segment', async (t) => {
  // As by default: the ENDs of all this are some kilobytes, and a segment holds a day.
  const keeping = await Keeping.open(t, { retention: { size: 400_000 }, ...noSinks }, { segmentSize: 20_000 });
  for (let i = 0; i < 60; i++) {
    await keeping.commit(1, items, 19_000);
    await keeping.retention.enforce();
  }
  const total = await keeping.bench.publisher.writer.size();
  assert.ok(total < 400_000 + 2 * 400_000 / 16 + 20_000, `${total} bytes`);
  assert.ok(total > 300_000, `${total} bytes: no more went than had to`);
  await keeping.isWhole();
});

test('retention: a death between the ENDs and their events leaves no END without events, and the next life removes the rest', async (t) => {
  const keeping = await Keeping.open(t, { retention: { size: 20_000 }, ...noSinks });
  await keeping.commit(5, orders);
  await keeping.commit(40, items, 1000);
  armFailpoint('retention.ends_gone:throw');
  t.after(() => armFailpoint(undefined));
  await assert.rejects(keeping.enforce(), /failpoint/);
  assert.ok((await keeping.begin()) > 0);
  assert.equal((await events(keeping.reader, orders)).length, 5);
  await keeping.isWhole();
  await keeping.bench.stop();
  await keeping.start();
  await keeping.commit(1);
  await keeping.retention.enforce();
  assert.equal((await events(keeping.reader, orders)).length, 0);
  assert.ok((await events(keeping.reader, items)).length < 25);
  await keeping.isWhole();
});

test('retention: what is under way is not taken for what nobody names', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  const keeping = await Keeping.open(t, { retention: { age: 5000 }, ...noSinks });
  await keeping.commit(5, orders);
  t.mock.timers.setTime(1_000_000 + 60_000);
  // A transaction of several groups whose END is still to come: its first events are in the log already.
  const wide = Array.from({ length: 6 }, (_, i) => insert(orders, [`wide ${i}`, 'y'.repeat(1 << 20)]));
  const gate = Promise.withResolvers<void>();
  keeping.source.pieces = 1;
  let delivered = 0;
  keeping.source.onDeliver = async () => {
    if (++delivered === 7) {
      await keeping.retention.enforce();
      await keeping.retention.enforce();
      gate.resolve();
    }
  };
  const { endLsn } = keeping.source.commit(wide);
  await gate.promise;
  await keeping.bench.acknowledged(endLsn);
  await keeping.enforce();
  await keeping.isWhole();
  assert.equal((await events(keeping.reader, orders)).length, 6);
});

test('retention: a copy whose END is there and whose record was never written as confirmed is confirmed before that END can go', async (t) => {
  const source = new ScriptedSource([items]);
  source.commit([insert(items, ['1', 'a'])], { unsent: true });
  const bench = await Bench.open(t, source, { snapshot: 'initial', log: everyAppend });
  bench.log.before = (append) => {
    const copied = bench.log.appends.slice(0, append).some(({ data }) => data.includes('shop.public.items'));
    if (copied) throw new TailraceError('log-unwritable', 'scripted');
  };
  await bench.start();
  await bench.ended();
  await bench.stop();
  bench.log.before = () => {};
  const before = await schemaRecords(await bench.reader());
  const last = (await ends(await bench.reader())).findLast(({ snapshot }) => snapshot !== null)?.snapshot?.record;
  assert.deepEqual(before.filter((record) => record.type === 'snapshot' && record.id === last).map((record) => 'confirmed' in record && record.confirmed), [false]);
  const rounds = source.chunks.length;
  await bench.start();
  const after = await schemaRecords(await bench.reader());
  assert.deepEqual(after.slice(before.length).map((record) => record.type === 'snapshot' && [record.id, record.confirmed]), [[last, true]]);
  assert.equal(source.chunks.length, rounds, 'and nothing is copied again');
});

test('retention: a sink\'s topic is tidied: what counts of it is written again, and the rest goes', async (t) => {
  const keeping = await Keeping.open(t, { retention: undefined, sinks: [{ name: 'local', hold: false }] });
  const filter = { include: ['*.*'], exclude: [] };
  const position = (offset: number): SinkRecord => ({ type: 'position', startId: '00', epoch: 1, commitLsn: BigInt(offset), endLsn: 9n, offset });
  const ask = (table: string, id: string): SinkRecord => ({ type: 'ask', table, id });
  const register = (offset: number): SinkRecord => ({ type: 'register', filter, tables: {}, at: origin, offset });
  const said = [ask('public.gone', '1'), { type: 'forgotten' } as const, ask('public.t', '2'), register(3), position(4), ask('public.t', '3'), ask('public.u', '4'), position(8), register(7)];
  const counts = [ask('public.t', '3'), ask('public.u', '4'), position(8), register(7)];
  assert.deepEqual(whatCounts(said), counts);
  assert.deepEqual(whatCounts(counts), counts);
  assert.deepEqual(whatCounts([...said, { type: 'forgotten' }]), [{ type: 'forgotten' }]);
  assert.deepEqual(whatCounts([]), []);
  const { publisher } = keeping.bench;
  for (const record of said) await publisher.appendForSink('local', 'sink', { key: null, value: encodeControl(record) });
  const topics = topicNames('shop');
  await tidySinkTopic(publisher, topics, { sink: 'local' });
  assert.equal((await sinkRecords(keeping.reader, 'local')).length, said.length, 'a short one is left alone');
  await tidySinkTopic(publisher, topics, { sink: 'local', longerThan: 8 });
  assert.deepEqual((await sinkRecords(keeping.reader, 'local')).map(({ type }) => type), counts.map(({ type }) => type));
  assert.equal((await keeping.reader.range('shop.sink.local', 0)).start, said.length);
});
