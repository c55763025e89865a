import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { KafkaLogConfig } from '../../src/log/kafka/config.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import type { EndRecord, StartRecord } from '../../src/pipeline/control-records.ts';
import { appendRecord } from '../../src/pipeline/group.ts';
import { Publisher } from '../../src/pipeline/publisher.ts';
import { SinkTopicWriter } from '../../src/pipeline/sink-topic-writer.ts';
import type { StreamPublisher } from '../../src/pipeline/stream-publisher.ts';
import { topicNames } from '../../src/pipeline/topics.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { count, stream } from '../../src/stream/api.ts';
import type { StreamOutputs } from '../../src/stream/outputs.ts';
import { StreamSink } from '../../src/stream/stream-sink.ts';
import { addPartitions, deleteTopic, dropRecords } from '../log/kafka/raw.ts';
import { freshLog, withoutPrefix } from '../log/kafka/prefixed-log.ts';
import { sharedKafka } from '../support/kafka.ts';
import { insert, rekey, remove, ScriptedSource, truncate, update } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { Bench, tableOf } from './harness.ts';
import { control, ends, starts } from './log-view.ts';
import { watched } from './watched-sink.ts';

const kafka = await sharedKafka();
const needed = { skip: kafka.missing ?? false };
const items = tableOf('items', 2);
const orders = tableOf('orders', 2);

/** A pipeline `shop` whose topics stand behind a prefix that is this test's alone. */
async function shop(t: TestContext, config: Partial<KafkaLogConfig> = {}, tables = [items, orders], sinks = ['local']): Promise<{ bench: Bench; source: ScriptedSource; prefix: string }> {
  const source = new ScriptedSource(tables);
  const { log, pipeline } = freshLog(kafka.brokers, config);
  const prefix = `${pipeline}.`;
  return { source, prefix, bench: await Bench.open(t, source, { on: withoutPrefix(log, prefix), sinks }) };
}

function isGap(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TailraceError && error.code === 'gap', String(error));
    assert.match(error.message, pattern);
    return true;
  };
}

/** What ends a sink by itself. */
async function failure(bench: Bench, more: Parameters<Bench['replay']>[1] = {}): Promise<never> {
  return rejected(await (await bench.replay('local', more)).ended());
}

function rejected(error: unknown): never {
  throw error as Error;
}

test('what is published in several partitions is replayed in the order in which it was done', needed, async (t) => {
  const { bench, source } = await shop(t, { partitions: 4 });
  await bench.start();
  const sink = await bench.replay('local');
  source.commit(Array.from({ length: 20 }, (_, i) => insert(items, [`${i}`, 'first'])));
  source.commit([truncate(items), ...Array.from({ length: 10 }, (_, i) => insert(items, [`${i}`, 'second'])), remove(items, ['3', 'second']), rekey(items, ['4', 'second'], ['40', 'moved'])]);
  source.commit([insert(items, ['4', 'again']), update(items, ['40', 'twice']), rekey(items, ['40', 'twice'], ['41', 'on']), insert(orders, ['1', 'x'])]);
  await sink.reaches(source.lsn);
  const second = [0, 1, 2, 5, 6, 7, 8, 9].map((id) => [`${id}`, 'second']);
  assert.deepEqual(sink.rows(items), [...second.slice(0, 3), ['4', 'again'], ['41', 'on'], ...second.slice(3)]);
  assert.deepEqual(sink.rows(orders), [['1', 'x']]);
  const partitions = (await ends(await bench.reader())).flatMap(({ parts }) => parts.map((part) => part.partition));
  assert.ok(new Set(partitions).size > 1, 'the rows went to several partitions');
});

test('PROGRESS: a large transaction is written before its END, of several partitions in the order in which it was done', needed, async (t) => {
  const { bench, source } = await shop(t, { partitions: 4 });
  await bench.start();
  const calls: string[] = [];
  const sink = await bench.replay('local', { sink: watched(bench.sqlite().sink, calls) });
  const { promise, resolve } = Promise.withResolvers<void>();
  t.after(() => resolve());
  source.pieces = 100;
  let sent = 0;
  source.onDeliver = (piece) => ((sent += piece.length) > 700 ? promise : undefined);
  const text = 'x'.repeat(10_000);
  const gone = Array.from({ length: 300 }, (_, i) => insert(items, [`${i}`, text]));
  const rows = Array.from({ length: 600 }, (_, i) => insert(items, [`${i}`, text]));
  const { endLsn } = source.commit([...gone, truncate(items), ...rows, update(items, ['599', 'last'])]);
  await eventually(() => calls.filter((call) => call.startsWith('items')).length > 0, { what: 'rows at the replica' });
  assert.deepEqual(sink.rows(items), []);
  resolve();
  await sink.reaches(endLsn);
  assert.equal(sink.rows(items).length, 600);
  assert.deepEqual(sink.rows(items).find(([a]) => a === '599'), ['599', 'last']);
  assert.equal(calls.filter((call) => call === 'commit').length, 1);
});

test('START: two publishers on one slot: whoever was replaced writes on, nothing of it counts, and it gives up before it acknowledges', needed, async (t) => {
  const { bench, source } = await shop(t);
  await bench.start();
  source.commit([insert(items, ['1', 'a'])]);
  await bench.settled();
  const successor = await Publisher.open({ pipeline: 'shop', source, log: bench.log, codec: bench.codec, snapshot: 'never', onGap: 'stop', sinks: ['local'], logger: silentLogger, copyParallel: 1 });
  const stop = new AbortController();
  const { promise: streaming, resolve } = Promise.withResolvers<void>();
  const published = successor.publish(stop.signal, resolve);
  await streaming;
  // Both get it from the server.
  source.commit([insert(items, ['2', 'b'])]);
  const replaced = await bench.ended();
  assert.ok(replaced instanceof TailraceError && replaced.code === 'lead-lost', String(replaced));
  source.commit([update(items, ['2', 'c'])]);
  const sink = await bench.replay('local');
  await sink.reaches(source.lsn);
  assert.deepEqual(sink.rows(items), [['1', 'a'], ['2', 'c']]);
  const written = await starts(await bench.reader());
  assert.deepEqual(written.map(({ epoch }) => epoch), [1, 2]);
  assert.equal(new Set(written.map(({ logId }) => logId)).size, 1, 'the log keeps its id');
  await sink.stop();
  stop.abort(new Error('stopped'));
  await published;
  await successor.close();
});

test('START: a stream that is added later is of the log that the pipeline began, whoever writes it by then, and stays so', needed, async (t) => {
  const { bench, source } = await shop(t, {}, [items], ['sizes']);
  await bench.start();
  source.commit([insert(items, ['1', 'a'])]);
  await bench.settled();
  const definition = stream(({ table }) => table<{ b: string }>('public.items').groupBy(({ b }) => ({ b })).aggregate({ n: count() }).to('sizes', { key: ['b'], columns: { b: 'text', n: 'int8' } }));
  for (const sizes of [1, 2]) {
    // Each has an id for a log of its own.
    await bench.restart();
    source.commit([insert(items, [`${sizes + 1}`, 'b'])]);
    let published: StreamPublisher | undefined;
    const outputs: StreamOutputs = {
      open: async (of) => (published = await bench.publisher.openStream('sizes', of)), publish: async (...of) => published?.publish(...of),
      publishCopy: async (...of) => published?.publishCopy(...of), onAsk: () => {}, close: async () => {},
    };
    const running = await bench.replay('sizes', { sink: new StreamSink({ name: 'sizes', path: join(bench.directory, 'sizes.sqlite'), module: { definition, fingerprint: 'one' }, outputs }) });
    await running.reaches(source.lsn);
    const reader = await bench.reader();
    const [began] = await starts(reader);
    const records = await control<StartRecord | EndRecord>(reader, 'shop.stream.sizes.transaction');
    const ids = records.flatMap((record) => (record.type === 'start' ? [record.logId] : []));
    assert.ok(ids.length >= sizes);
    assert.deepEqual(new Set(ids), new Set([began?.logId]));
    await running.stop();
  }
});

test('gap: a sink whose next transaction was let go of by the brokers stops, and says what is held', needed, async (t) => {
  const { bench, source, prefix } = await shop(t);
  await bench.start();
  for (let id = 1; id <= 5; id++) source.commit([insert(items, [`${id}`, 'x'])]);
  await bench.settled();
  const all = (await ends(await bench.reader())).at(-1)?.at ?? 0;
  const events = `${prefix}shop.public.items`;
  const first = await bench.replay('local');
  await first.reaches(source.lsn);
  await first.stop();
  source.commit([insert(items, ['6', 'x'])]);
  source.commit([insert(items, ['7', 'x'])]);
  await bench.settled();
  await dropRecords(kafka.brokers, events, 6);
  await assert.rejects(failure(bench), isGap(/holds 0 of the 1 events .* begins at 6/));
  // The ENDs too: the sink's place is no longer there.
  await dropRecords(kafka.brokers, `${prefix}shop.transaction`, all + 3);
  await assert.rejects(failure(bench), isGap(/transactions are missing/));
});

test('gap: a topic that was deleted, or deleted and made again, is never taken for one without events', needed, async (t) => {
  const { bench, source, prefix } = await shop(t, { late_after: 500 });
  await bench.start();
  const sink = await bench.replay('local');
  source.commit([insert(items, ['1', 'a']), insert(items, ['2', 'b'])]);
  await sink.reaches(source.lsn);
  await sink.stop();
  source.commit([insert(items, ['3', 'c'])]);
  await bench.settled();
  await bench.stop();
  await deleteTopic(kafka.brokers, `${prefix}shop.public.items`);
  await bench.start();
  source.commit([insert(items, ['4', 'd'])]);
  await bench.settled();
  const again = await bench.replay('local');
  // The topic is there again, and holds something; not what the END names.
  await assert.rejects(again.ended().then(rejected), isGap(/holds 0 of the 1 events/));
  await bench.stop();
  await deleteTopic(kafka.brokers, `${prefix}shop.transaction`);
  await assert.rejects(bench.start(), isGap(/shop\.transaction is empty, and shop\.schema is not/));
  await assert.rejects(failure(bench), isGap(/where this log has never been/));
});

test('gap: a record that is put below one that was confirmed is never taken for the next one, and ends the writer', needed, async (t) => {
  const { log, pipeline } = freshLog(kafka.brokers);
  const topic = `${pipeline}.public.items`;
  const [writer, other] = [await log.openWriter(), await log.openWriter()];
  t.after(() => Promise.all([writer.close(), other.close()]));
  await writer.createTopic({ topic, partitions: 1 });
  const append = (): Promise<void> => appendRecord(writer, topic, { value: Buffer.from('x') });
  for (let i = 0; i < 3; i++) await append();
  // As brokers do that lose what they had: the partition is there, and shorter.
  await deleteTopic(kafka.brokers, topic);
  await other.createTopic({ topic, partitions: 1 });
  const isLoss = (error: unknown): boolean => {
    assert.ok(error instanceof TailraceError && error.code === 'log-damaged', String(error));
    assert.match(error.message, /had reached offset 3, and a new record was put at 0/);
    return true;
  };
  await assert.rejects(append, isLoss);
  await assert.rejects(append, isLoss);
});

test('a topic to which somebody has added partitions is refused: its keys would be spread anew', needed, async (t) => {
  const { bench, source, prefix } = await shop(t, { partitions: 2 });
  await bench.start();
  source.commit([insert(items, ['1', 'a'])]);
  await bench.settled();
  await bench.stop();
  await addPartitions(kafka.brokers, `${prefix}shop.public.items`, 3);
  await bench.start();
  source.commit([insert(items, ['2', 'b'])]);
  const error = await bench.ended();
  assert.ok(error instanceof TailraceError && error.code === 'log-settings', String(error));
  assert.match(error.message, /items has 3 partitions, and is to have 2/);
});

test('an event that is larger than its topic takes stops the publisher in front of it, with its table, its key and the limits', needed, async (t) => {
  const { bench, source } = await shop(t, { max_record_size: 64 << 10 });
  await bench.start();
  const small = source.commit([insert(items, ['1', 'a'])]);
  await bench.settled();
  source.commit([insert(items, ['the-key', 'x'.repeat(100_000)])]);
  source.commit([insert(items, ['3', 'c'])]);
  const error = await bench.ended();
  assert.ok(error instanceof TailraceError && error.code === 'log-record-too-large', String(error));
  assert.match(error.message, /an insert into public\.items with the key \(a=the-key\) has 97.8 KiB: the topic takes 64\.0 KiB \(max\.message\.bytes\), the brokers take requests of 100 MiB \(socket\.request\.max\.bytes\), log\.max_record_size is 64\.0 KiB/);
  assert.ok(source.acknowledged.every((lsn) => lsn <= small.endLsn + 0x1000n));
  const last = (await ends(await bench.reader())).at(-1);
  assert.ok((last?.commitLsn ?? 0n) <= small.commitLsn);
});

test('what the old row adds goes before the row does: it is larger than its topic takes with it, and arrives without it', needed, async (t) => {
  const full = tableOf('full', 2, { identity: 'full' });
  const { bench, source } = await shop(t, { max_record_size: 64 << 10 }, [full]);
  await bench.start();
  const [half, other] = ['x'.repeat(40_000), 'y'.repeat(40_000)];
  source.commit([insert(full, ['1', half]), update(full, ['1', other], ['1', half]), insert(full, ['2', half]), rekey(full, ['2', half], ['3', other]), insert(full, ['4', half]), remove(full, ['4', half])]);
  const sink = await bench.replay('local');
  await sink.reaches(source.lsn);
  assert.deepEqual(sink.rows(full), [['1', other], ['3', other]]);
});

test('oversize: key-only: an event that is too large stands in its place with its key alone; no sink takes that for a row, and the rest stays in order', needed, async (t) => {
  const { bench, source } = await shop(t, { max_record_size: 64 << 10, oversize: 'key-only' });
  await bench.start();
  const big = 'x'.repeat(100_000);
  source.commit([insert(items, ['1', 'a']), insert(items, ['2', 'b'])]);
  source.commit([update(items, ['1', big]), insert(orders, ['1', 'o'])]);
  source.commit([update(items, ['1', 'small again']), rekey(items, ['2', 'b'], ['20', big]), insert(items, ['3', 'c'])]);
  source.commit([insert(items, ['2', 'another']), update(items, ['3', 'd'])]);
  await bench.settled();
  const counts = (await ends(await bench.reader())).flatMap(({ parts }) => parts).reduce((sum, { count }) => sum + count, 0);
  assert.equal(counts, 10, 'every event is counted, both halves of the key change too');

  const strict = await bench.replay('local');
  const error = await strict.ended();
  assert.ok(error instanceof TailraceError && error.code === 'row-left-out', String(error));
  assert.match(error.message, /public\.items with the key \["1"\]/);
  assert.deepEqual([strict.rows(items), strict.rows(orders)], [[], []], 'all of the batch waits');

  const lenient = await bench.replay('local', { onError: 'dead-letter' });
  await lenient.reaches(source.lsn);
  assert.deepEqual(lenient.rows(items), [['1', 'a'], ['2', 'b'], ['3', 'd']], 'the keys of what is left out stay as they were');
  assert.deepEqual(lenient.rows(orders), [['1', 'o']]);
  assert.equal(lenient.replayer.progress.blockedKeys, 3);

  // A copy that empties the table is a way out.
  source.commit([truncate(items), insert(items, ['1', 'new'])]);
  await lenient.reaches(source.lsn);
  assert.deepEqual(lenient.rows(items), [['1', 'new']]);
});

test('it is the compressed record that has to fit', needed, async (t) => {
  const { bench, source } = await shop(t, { max_record_size: 64 << 10, compression: 'zstd' });
  await bench.start();
  source.commit([insert(items, ['1', 'x'.repeat(200_000)])]);
  const sink = await bench.replay('local');
  await sink.reaches(source.lsn);
  assert.equal(sink.rows(items)[0]?.[1]?.length, 200_000);
  source.commit([insert(items, ['2', randomBytes(100_000).toString('hex')])]);
  const error = await bench.ended();
  assert.ok(error instanceof TailraceError && error.code === 'log-record-too-large', String(error));
});

test('sinks on Kafka write their own topics, and the publisher hears what they ask for', needed, async (t) => {
  const { bench, source } = await shop(t);
  await bench.start();
  source.commit([insert(items, ['1', 'a'])]);
  await bench.settled();
  const asked = { kind: 'sink' as const, value: Buffer.from(JSON.stringify({ type: 'ask', table: 'public.items', id: 'an-ask' })) };
  const writer = await SinkTopicWriter.open(bench.log, topicNames('shop'), 'local');
  await writer.append(asked.kind, { key: null, value: asked.value });
  await eventually(() => bench.publisher.session?.progress.some(({ table, sink }) => table === 'public.items' && sink === 'local'), { what: 'the copy that was asked for' });
  await writer.close();
});

test('what a sink asks a stream for is heard at any time, while there is no connection to the source too', needed, async (t) => {
  const { log, pipeline } = freshLog(kafka.brokers);
  const heard: string[] = [];
  const bench = await Bench.open(t, new ScriptedSource([items]), {
    on: withoutPrefix(log, `${pipeline}.`), streams: [{ name: 'sales', sinks: ['later'] }], onStreamAsked: (stream, { sink, table, id }) => heard.push(`${stream} ${sink} ${table} ${id}`),
  });
  await bench.start();
  const writer = await SinkTopicWriter.open(bench.log, topicNames('shop'), 'later');
  t.after(() => writer.close());
  const ask = (id: string): Promise<void> => writer.append('sink', { key: null, value: encodeControl({ type: 'ask', table: 'public.totals', id }) });
  await ask('one');
  await eventually(() => heard.includes('sales later public.totals one'), { what: 'the first to be heard' });
  await bench.disconnect();
  await ask('two');
  await bench.start();
  await eventually(() => heard.includes('sales later public.totals two'), { what: 'the second to be heard', timeoutMs: 10_000 });
});
