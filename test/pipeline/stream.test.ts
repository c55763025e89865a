import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { TableShape } from '../../src/event/table.ts';
import type { StreamPublisher } from '../../src/pipeline/stream-publisher.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import type { EndRecord, StartRecord } from '../../src/pipeline/control-records.ts';
import { CompactionCounts, eventSays } from '../../src/pipeline/compaction.ts';
import type { CopyAsk } from '../../src/pipeline/copy-jobs.ts';
import { records } from '../../src/pipeline/log-state.ts';
import { Retention } from '../../src/pipeline/retention.ts';
import { streamTopics } from '../../src/pipeline/topics.ts';
import { count, stream, sum } from '../../src/stream/api.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { shapeOf } from '../../src/stream/output-types.ts';
import type { StreamOutputs } from '../../src/stream/outputs.ts';
import { StreamSink } from '../../src/stream/stream-sink.ts';
import { textOf } from '../contract/log-samples.ts';
import { insert, remove, ScriptedSource, truncate, update } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { Bench, tableOf, type RunningSink } from './harness.ts';
import { control } from './log-view.ts';

const orders = tableOf('orders', 3);
const definition = stream(({ table, changes }) => {
  table<{ a: string; b: string; c: string }>('public.orders')
    .groupBy(({ b }) => ({ customer: b }))
    .aggregate({ orders: count(), total: sum((row: { c: string }) => row.c) })
    .to('totals', { key: ['customer'], columns: { customer: 'text', orders: 'int8', total: 'numeric' } });
  changes('public.orders').map(({ op }) => ({ op })).to('ops', { columns: { op: 'text' } });
});
const [totals, ops] = definition.plan.operators.flatMap((operator) => (operator.kind === 'output' ? [shapeOf(operator.output)] : [])) as [TableShape, TableShape];

/** A pipeline with one stream, and a sink that replays what the stream gives. */
class StreamBench {
  readonly source: ScriptedSource;
  readonly bench: Bench;
  /** Called around each publishing, and may throw. */
  beforePublish: () => void = () => {};
  afterPublish: () => void = () => {};
  fingerprint = 'one';
  asked: (ask: CopyAsk) => void = () => {};

  private constructor(bench: Bench, source: ScriptedSource) {
    this.bench = bench;
    this.source = source;
  }

  static async open(t: TestContext): Promise<StreamBench> {
    const source = new ScriptedSource([orders]);
    const bench = await Bench.open(t, source, {
      sinks: ['sales'], streams: [{ name: 'sales', sinks: ['local', 'later'] }], log: { segmentSize: 1024 }, onStreamAsked: (_, ask) => streams.asked(ask),
    });
    const streams = new StreamBench(bench, source);
    return streams;
  }

  get path(): string {
    return join(this.bench.directory, 'sales.sqlite');
  }

  published: StreamPublisher | null = null;

  sink(): StreamSink {
    const outputs: StreamOutputs = {
      open: async (of) => {
        const { input, asks } = (this.published = await this.bench.publisher.openStream('sales', of));
        return { input, asks };
      },
      onAsk: (listener) => void (this.asked = listener),
      publishCopy: async (ask, piece) => this.published?.publishCopy(ask, piece),
      publish: async (changes, step, last) => {
        this.beforePublish();
        await this.published?.publish(changes, step, last);
        this.afterPublish();
      },
      close: async () => {},
    };
    return new StreamSink({ name: 'sales', path: this.path, module: { definition, fingerprint: this.fingerprint }, outputs });
  }

  stream(): Promise<RunningSink> {
    return this.bench.replay('sales', { sink: this.sink() });
  }

  replica(name = 'local'): Promise<RunningSink> {
    return this.bench.replay(name, { topics: streamTopics('shop', 'sales') });
  }

  /** Waits until the replica shows this. */
  async shows(replica: RunningSink, rows: { readonly totals?: readonly (readonly string[])[]; readonly ops?: readonly string[] }): Promise<void> {
    const failed = replica.ended().then((error) => { throw error as Error; });
    failed.catch(() => undefined);
    const same = (): boolean =>
      (rows.totals === undefined || JSON.stringify(replica.rows(totals).map((row) => row.map(String))) === JSON.stringify(rows.totals)) &&
      (rows.ops === undefined || JSON.stringify(replica.rows(ops).flat().map(String).sort()) === JSON.stringify(rows.ops));
    const what = `${JSON.stringify(rows)}, in the replica`;
    await Promise.race([eventually(same, { what, timeoutMs: 30_000 }), failed]).catch((error: unknown) => {
      throw new Error(`${what} there is ${JSON.stringify(replica.rows(totals))} and ${JSON.stringify(replica.rows(ops))}`, { cause: error });
    });
  }
}

const rowOf = (id: number, customer: string, amount: string): string[] => [String(id), customer, amount];

test('what a stream gives is a log like any other: a sink replays it, and follows what comes, changes and goes', async (t) => {
  const streams = await StreamBench.open(t);
  const { bench, source } = streams;
  await bench.start();
  await streams.stream();
  const replica = await streams.replica();
  source.commit([insert(orders, rowOf(1, 'ann', '5.00')), insert(orders, rowOf(2, 'bob', '1.50'))]);
  await streams.shows(replica, { totals: [['ann', '1', '5.00'], ['bob', '1', '1.50']], ops: ['c', 'c'] });
  source.commit([update(orders, rowOf(2, 'ann', '2.25'))]);
  await streams.shows(replica, { totals: [['ann', '2', '7.25']], ops: ['c', 'c', 'u'] });
  source.commit([remove(orders, ['1', 'ann', '5.00'])]);
  await streams.shows(replica, { totals: [['ann', '1', '2.25']], ops: ['c', 'c', 'd', 'u'] });
  source.commit([truncate(orders)]);
  await streams.shows(replica, { totals: [], ops: ['c', 'c', 'd', 't', 'u'] });
});

test('a stream that begins later computes from what the log holds, and a sink that begins later gets all of it', async (t) => {
  const streams = await StreamBench.open(t);
  const { bench, source } = streams;
  await bench.start();
  for (let id = 1; id <= 20; id++) source.commit([insert(orders, rowOf(id, `c${id % 2}`, '1'))]);
  await bench.settled();
  await streams.stream();
  const totalRows = [['c0', '10', '10'], ['c1', '10', '10']];
  await streams.shows(await streams.replica(), { totals: totalRows, ops: new Array<string>(20).fill('c') });
});

test('each END of a stream says up to where its input is computed, and they stand in the order of the input', async (t) => {
  const streams = await StreamBench.open(t);
  const { bench, source } = streams;
  await bench.start();
  await streams.stream();
  const reader = await bench.reader();
  const places: bigint[] = [];
  let published: readonly EndRecord[] = [];
  for (let id = 1; id <= 3; id++) {
    places.push(source.commit([insert(orders, rowOf(id, 'ann', '1'))]).commitLsn);
    await eventually(async () => {
      const records = await control<StartRecord | EndRecord>(reader, 'shop.stream.sales.transaction');
      published = records.filter((record) => record.type === 'end' && record.parts.length > 0) as EndRecord[];
      return published.length === id;
    }, { what: 'the results of each transaction' });
  }
  assert.deepEqual(published.map(({ input }) => input?.commitLsn), places);
  assert.deepEqual(published.map(({ commitLsn }) => commitLsn), places);
});

for (const [when, fails] of [
  ['before its results are published', 'before'],
  ['behind its results, and before it knows', 'after'],
] as const) {
  test(`a crash ${when} publishes them once`, async (t) => {
    const streams = await StreamBench.open(t);
    const { bench, source } = streams;
    await bench.start();
    const first = await streams.stream();
    source.commit([insert(orders, rowOf(1, 'ann', '1'))]);
    const replica = await streams.replica();
    await streams.shows(replica, { ops: ['c'] });
    const boom = new Error('the process dies here');
    const die = (): never => { throw boom; };
    if (fails === 'before') streams.beforePublish = die;
    else streams.afterPublish = die;
    source.commit([insert(orders, rowOf(2, 'ann', '2')), insert(orders, rowOf(3, 'bob', '3'))]);
    assert.equal(await first.ended(), boom);
    streams.beforePublish = streams.afterPublish = () => {};
    await streams.stream();
    source.commit([insert(orders, rowOf(4, 'bob', '4'))]);
    await streams.shows(replica, { totals: [['ann', '2', '3'], ['bob', '2', '7']], ops: ['c', 'c', 'c', 'c'] });
  });
}

test('a stream that is reset is computed anew: what its readers have is emptied first', async (t) => {
  const streams = await StreamBench.open(t);
  const { bench, source } = streams;
  await bench.start();
  const first = await streams.stream();
  const replica = await streams.replica();
  source.commit([insert(orders, rowOf(1, 'ann', '1')), insert(orders, rowOf(2, 'bob', '2'))]);
  await streams.shows(replica, { ops: ['c', 'c'] });
  await first.stop();
  await streams.sink().forget();
  source.commit([remove(orders, ['1', 'ann', '1'])]);
  await streams.stream();
  await streams.shows(replica, { totals: [['bob', '1', '2']], ops: ['c', 'c', 'd'] });
  await streams.shows(await streams.replica('later'), { totals: [['bob', '1', '2']], ops: ['c', 'c', 'd'] });
});

test('a module that is another one than the state was made with is refused until it is reset or kept', async (t) => {
  const streams = await StreamBench.open(t);
  await streams.bench.start();
  await (await streams.stream()).stop();
  streams.fingerprint = 'two';
  await assert.rejects(streams.stream(), (error) => error instanceof TailraceError && error.code === 'stream-changed');
  await streams.sink().keep();
  await (await streams.stream()).stop();
});

test('what a publisher takes up again after a loss of the connection is computed once', async (t) => {
  const streams = await StreamBench.open(t);
  const { bench, source } = streams;
  await bench.start();
  await streams.stream();
  const replica = await streams.replica();
  source.commit([insert(orders, rowOf(1, 'ann', '1'))]);
  await streams.shows(replica, { totals: [['ann', '1', '1']] });
  await bench.disconnect();
  await bench.start();
  source.commit([insert(orders, rowOf(2, 'ann', '2'))]);
  await streams.shows(replica, { totals: [['ann', '2', '3']], ops: ['c', 'c'] });
  const records = await control<StartRecord | EndRecord>(await bench.reader(), 'shop.stream.sales.transaction');
  assert.deepEqual(records.flatMap((record) => (record.type === 'start' ? [record.epoch] : [])), [1, 2], 'an epoch of its own for each of the input');
});

test('a function that fails stops the stream in front of the transaction, with the place in the module; as configured the row is set aside', async (t) => {
  const streams = await StreamBench.open(t);
  const { bench, source } = streams;
  await bench.start();
  const first = await streams.stream();
  const replica = await streams.replica();
  source.commit([insert(orders, rowOf(1, 'ann', 'no number')), insert(orders, rowOf(2, 'bob', '2'))]);
  const error = await first.ended();
  assert.ok(error instanceof TailraceError && error.code === 'sink-data', String(error));
  assert.match(error.message, /failed on a row of public\.orders: .*sum\.ts/);
  await bench.replay('sales', { sink: streams.sink(), onError: 'dead-letter' });
  await streams.shows(replica, { totals: [['bob', '1', '2']], ops: ['c'] });
  source.commit([update(orders, rowOf(1, 'ann', '1'))]);
  source.commit([insert(orders, rowOf(3, 'ann', '3'))]);
  await streams.shows(replica, { totals: [['ann', '1', '3'], ['bob', '1', '2']], ops: ['c', 'c'] });
});

test('retention lets go of what a stream has written, and a sink that begins later gets a copy of its own', async (t) => {
  const streams = await StreamBench.open(t);
  const { bench, source } = streams;
  await bench.start();
  await streams.stream();
  const replica = await streams.replica();
  const publish = async (ids: readonly number[]): Promise<void> => {
    for (const id of ids) source.commit([insert(orders, rowOf(id, `c${id % 3}`, '1'))]);
    await streams.shows(replica, { totals: totalsOf(ids.at(-1) ?? 0) });
  };
  const totalsOf = (n: number): string[][] => [0, 1, 2].map((i) => ({ i, n: Array.from({ length: n }, (_, k) => k + 1).filter((id) => id % 3 === i).length }))
    .filter((group) => group.n > 0).map(({ i, n: size }) => [`c${i}`, String(size), String(size)]);
  await publish([1]);
  const retention = new Retention(streams.published as StreamPublisher, { topics: streamTopics('shop', 'sales'), retention: { size: 1 }, sinks: [] }, silentLogger);
  const reader = await bench.reader();
  let next = 2;
  // A START is renewed between two steps, and goes with the one after the next.
  while ((await reader.range('shop.stream.sales.public.totals', 0)).start === 0) {
    await publish([next, next + 1, next + 2]);
    next += 3;
    await retention.enforce();
  }
  const later = await streams.replica('later');
  await streams.shows(later, { totals: totalsOf(next - 1) });
  await publish([next]);
  await streams.shows(later, { totals: totalsOf(next) });
  assert.deepEqual(replica.rows(totals), later.rows(totals));
});

test('of a compacted output retention keeps the newest result of each key for good; what an END names stays whole, and a sink that begins later gets a copy', async (t) => {
  const streams = await StreamBench.open(t);
  const { bench, source } = streams;
  await bench.start();
  await streams.stream();
  const replica = await streams.replica();
  const topic = 'shop.stream.sales.public.totals';
  const counts = new CompactionCounts();
  const compacted = { topics: new Set([topic]), deleteRetention: 0, counts };
  // Seldom changed, and gone: neither is in what the limits keep.
  source.commit([insert(orders, rowOf(1, 'seldom', '1')), insert(orders, rowOf(2, 'gone', '1'))]);
  source.commit([remove(orders, rowOf(2, 'gone', '1'))]);
  await streams.shows(replica, { totals: [['seldom', '1', '1']] });
  const retention = new Retention(streams.published as StreamPublisher, { topics: streamTopics('shop', 'sales'), retention: { size: 1 }, sinks: [], compacted }, silentLogger);
  const reader = await bench.reader();
  const latest = async (): Promise<{ held: number; values: Map<string, string> }> => {
    const values = new Map<string, string>();
    let held = 0;
    for await (const record of records(reader, topic)) {
      held++;
      const says = eventSays(record);
      if (says === 'clear') values.clear();
      else if (says === 'delete') values.delete(textOf(record.key) ?? '');
      else values.set(textOf(record.key) ?? '', textOf(record.value) ?? '');
    }
    return { held, values };
  };
  let n = 0;
  const publish = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) source.commit([insert(orders, rowOf(10 + ++n, 'often', '1'))]);
    await streams.shows(replica, { totals: [['often', String(n), String(n)], ['seldom', '1', '1']] });
  };
  let rounds = 0;
  do {
    await publish();
    await retention.enforce();
    rounds++;
  } while (rounds < 10 || (await latest()).held > rounds * 1.5);
  // What follows the last START keeps its ENDs.
  for (let i = 0; i < 8; i++) await publish();
  await retention.enforce();
  const { values } = await latest();
  assert.equal((await reader.range(topic, 0)).start, 0);
  assert.equal(values.size, 2);
  assert.ok((await reader.range('shop.stream.sales.transaction', 0)).start > 3, 'the ENDs of what was compacted are gone');
  const { runs, bytesBefore, bytesAfter, lastAt } = counts.status;
  assert.ok(runs > 0 && runs < rounds + 1 && bytesBefore > bytesAfter && bytesAfter > 0 && lastAt !== null, 'rounds in which there was nothing to do are not counted');
  const offsets = new Set<number>();
  for await (const { offset } of records(reader, topic)) offsets.add(offset);
  for (const end of await control<StartRecord | EndRecord>(reader, 'shop.stream.sales.transaction')) {
    for (const part of end.type === 'end' ? end.parts : []) if (part.topic === topic) for (let offset = part.first; offset <= part.last; offset++) assert.ok(offsets.has(offset), `an END names offset ${offset}`);
  }
  const later = await streams.replica('later');
  await streams.shows(later, { totals: [['often', String(n), String(n)], ['seldom', '1', '1']] });
  await publish();
  assert.deepEqual(replica.rows(totals), later.rows(totals));
});

test('a copy that a sink asked for while the stream was away is made when it is back', async (t) => {
  const streams = await StreamBench.open(t);
  const { bench, source } = streams;
  await bench.start();
  const first = await streams.stream();
  source.commit([insert(orders, rowOf(1, 'ann', '1'))]);
  await streams.shows(await streams.replica(), { totals: [['ann', '1', '1']] });
  await first.stop();
  await bench.publisher.appendForSink('later', 'sink', { key: null, value: encodeControl({ type: 'ask', table: 'public.totals', id: 'lost' }) });
  await streams.stream();
  await eventually(async () => (await control<StartRecord | EndRecord>(await bench.reader(), 'shop.stream.sales.transaction')).some((record) => record.type === 'end' && record.snapshot?.sink === 'later'), { what: 'the copy' });
  source.commit([insert(orders, rowOf(2, 'ann', '2'))]);
  await streams.shows(await streams.replica('later'), { totals: [['ann', '2', '3']] });
});
