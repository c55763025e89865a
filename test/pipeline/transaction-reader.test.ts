import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTupleCodec } from '../../src/codec/tuple/index.ts';
import { tupleTexts } from '../../src/event/tuple.ts';
import type { EndRecord, Part } from '../../src/pipeline/control-records.ts';
import { SchemaReader } from '../../src/pipeline/schema-reader.ts';
import type { Share } from '../../src/pipeline/partition-feed.ts';
import { TransactionReader, type Run } from '../../src/pipeline/transaction-reader.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { at, end, origin, partOf, startA, startB, WrittenLog, type EventSpec } from './written-log.ts';

function reading(log: WrittenLog): TransactionReader {
  return new TransactionReader(log.reader, new SchemaReader(log.reader, 'shop.schema'), createTupleCodec());
}

function share<T>(commitLsn: bigint, part: Part, tag: T): Share<T> {
  return { end: end(startA, at(1, commitLsn), origin, { parts: [part] }), part, tag };
}

/** The runs as `tag: ordinals`. */
async function read(log: WrittenLog, shares: readonly Share<string>[], maxBytes = 1 << 20): Promise<string[]> {
  const runs: string[] = [];
  for await (const { tag, changes, last } of reading(log).read(shares, maxBytes)) {
    const ordinals = changes.map((change) => (change.op === 't' ? 't' : change.ordinal));
    runs.push(`${tag}: ${ordinals.join(' ')}${last.ordinal === ordinals.at(-1) || ordinals.at(-1) === 't' ? '' : ` but last ${last.ordinal}`}`);
  }
  return runs;
}

const a = (commitLsn: bigint, ordinal: number, more: Partial<EventSpec> = {}): EventSpec => ({ startId: startA, commitLsn, ordinal, ...more });

function isCode(code: string, pattern: RegExp = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TailraceError && error.code === code, String(error));
    assert.match(error.message, pattern);
    return true;
  };
}

test('END: the range: what is of another START or another transaction is passed over, and so are tombstones', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events(a(0x10n, 0), { ...a(0x10n, 1), startId: startB }, 'tombstone', a(0x11n, 1), a(0x10n, 2), a(0x10n, 3));
  assert.deepEqual(await read(log, [share(0x10n, partOf(3, 0, 5), 'x')]), ['x: 0 2 3']);
});

test('END: the range: each ordinal counts once, however often it was sent', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events(a(0x10n, 0), a(0x10n, 1), a(0x10n, 0), a(0x10n, 1), a(0x10n, 2), a(0x10n, 2));
  assert.deepEqual(await read(log, [share(0x10n, partOf(3, 0, 5), 'x')]), ['x: 0 1 2']);
});

test('END: the range: the halves of a key change count each, and the new one alone is a change', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events(a(0x10n, 0), a(0x10n, 1, { op: 'd', half: 'old' }), a(0x10n, 1, { half: 'new' }), a(0x10n, 1, { half: 'new' }), a(0x10n, 2));
  assert.deepEqual(await read(log, [share(0x10n, partOf(4, 0, 4), 'x')]), ['x: 0 1 2']);
  await assert.rejects(read(log, [share(0x10n, partOf(3, 0, 4), 'x')]), isCode('gap'), 'a repeated half counted twice');
});

test('END: the range: a count that is short is a gap only because the data is not there, and the message says where', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events(a(0x10n, 0), a(0x10n, 1), { ...a(0x10n, 2), startId: startB }, a(0x20n, 0));
  const expected = /shop\.public\.t holds 2 of the 3 events .* 0 to 2 .*START 00112233445566aa/;
  await assert.rejects(read(log, [share(0x10n, partOf(3, 0, 2), 'x')]), isCode('gap', expected));
  await assert.rejects(read(log, [share(0x10n, partOf(3, 0, 2), 'x'), share(0x20n, partOf(1, 3, 3), 'y')]), isCode('gap', expected), 'with a later transaction behind it');
  assert.deepEqual(await read(log, [share(0x10n, partOf(2, 0, 2), 'x'), share(0x20n, partOf(1, 3, 3), 'y')]), ['x: 0 1', 'y: 0']);
});

test('END: the range: a log that ends before the last offset is a gap', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events(a(0x10n, 0), a(0x10n, 1));
  await assert.rejects(read(log, [share(0x10n, partOf(3, 0, 2), 'x')]), isCode('gap', /2 of the 3/));
  await assert.rejects(read(log, [share(0x10n, partOf(2, 0, 9), 'x')]), isCode('gap'));
});

test('END: the range: more events than END counts is no transaction either', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events(a(0x10n, 0), a(0x10n, 1), a(0x10n, 2));
  await assert.rejects(read(log, [share(0x10n, partOf(2, 0, 2), 'x')]), isCode('gap', /3 of the 2/));
});

test('END: the range: where retention has passed it the reader is told, and jumps nowhere', async (t) => {
  const log = await WrittenLog.open(t);
  const long = 'x'.repeat(40_000);
  for (let i = 0; i < 4; i++) await log.events(a(0x10n, i, { row: ['k', long] }));
  await log.writer.trim('shop.public.t', 0, 2);
  const { start } = await log.reader.range('shop.public.t', 0);
  assert.ok(start > 0);
  await assert.rejects(read(log, [share(0x10n, partOf(4, 0, 3), 'x')]), isCode('offset-out-of-range'));
});

test('runs: shares with equal tags come together, others apart, and each piece is of about the size asked for', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events(a(0x10n, 0), a(0x10n, 1), a(0x20n, 0), a(0x30n, 0), a(0x30n, 1));
  const shares = [share(0x10n, partOf(2, 0, 1), 'x'), share(0x20n, partOf(1, 2, 2), 'x'), share(0x30n, partOf(2, 3, 4), 'y')];
  assert.deepEqual(await read(log, shares), ['x: 0 1 0', 'y: 0 1']);
  assert.deepEqual(await read(log, shares, 1), ['x: 0', 'x: 1', 'x: 0', 'y: 0', 'y: 1']);
});

test('runs: events of two schema versions never share one, and the version is looked for again when it is new', async (t) => {
  const log = await WrittenLog.open(t);
  const reader = reading(log);
  const { columns, ...shape } = log.table;
  const wider = { ...shape, columns: [...columns, { ...columns[1], name: 'c', attnum: 3 }] as typeof columns };
  await log.write('shop.schema', { type: 'version', version: { epoch: 1, number: 2 }, shape: wider });
  const widths = async (from: number, ...specs: readonly EventSpec[]): Promise<string[]> => {
    await log.events(...specs);
    const seen: string[] = [];
    for await (const run of reader.read([share(0x10n, partOf(specs.length, from, from + specs.length - 1), 'x')], 1 << 20)) seen.push(`${run.table.columns.length}*${run.changes.length}`);
    return seen;
  };
  const wide = ['k', 'v', 'w'];
  assert.deepEqual(await widths(0, a(0x10n, 0), a(0x10n, 1, { version: { epoch: 1, number: 2 }, row: wide }), a(0x10n, 2)), ['2*1', '3*1', '2*1']);
  // Written only now; and of the same number as the one before it.
  await log.write('shop.schema', { type: 'version', version: { epoch: 2, number: 1 }, shape: wider });
  assert.deepEqual(await widths(3, a(0x10n, 0), a(0x10n, 1, { version: { epoch: 2, number: 1 }, row: wide })), ['2*1', '3*1']);
  await assert.rejects(widths(5, a(0x10n, 0, { version: { epoch: 9, number: 9 } })), isCode('log-damaged', /schema version 9\.9/));
});

test('runs: a truncate stands in its place among the rows', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events(a(0x10n, 0), a(0x10n, 1, { op: 't' }), a(0x10n, 2));
  assert.deepEqual(await read(log, [share(0x10n, partOf(3, 0, 2), 'x')]), ['x: 0 t 2']);
});

test('runs: values are what was written, over many fetches', async (t) => {
  const log = await WrittenLog.open(t);
  const rows = Array.from({ length: 300 }, (_, i) => [`k${i}`, `${i}`.repeat(5000)]);
  for (let i = 0; i < rows.length; i += 50) await log.events(...rows.slice(i, i + 50).map((row, j) => a(0x10n, i + j, { row })));
  const seen: unknown[] = [];
  for await (const run of reading(log).read([share(0x10n, partOf(300, 0, 299), 'x')], 100_000)) {
    for (const change of run.changes) if (change.op !== 't') seen.push(tupleTexts(change.bytes, change.newAt));
  }
  assert.deepEqual(seen, rows);
});

test('a record in another format than the pipeline\'s is refused', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events(a(0x10n, 0, { codec: 2 }));
  await assert.rejects(read(log, [share(0x10n, partOf(1, 0, 0), 'x')]), isCode('log-other-format', /public\.t .*tuple/));
});

/** A part in one of several partitions. */
function shareIn<T>(whole: EndRecord, partition: number, part: Part, tag: T): Share<T> {
  return { end: whole, part: { ...part, partition }, tag };
}

test('END: the range: partitions are merged, transaction by transaction and by ordinal; a truncate in each of them is one', async (t) => {
  const log = await WrittenLog.open(t);
  const truncate = a(0x10n, 3, { op: 't' });
  await log.eventsIn(0, a(0x10n, 1), truncate, a(0x10n, 5), a(0x20n, 1));
  await log.eventsIn(1, a(0x10n, 0), a(0x10n, 2), truncate, 'tombstone', a(0x10n, 4), a(0x20n, 0));
  await log.eventsIn(2, truncate, a(0x20n, 2), { ...a(0x20n, 3), startId: startB });
  const [one, two] = [end(startA, at(1, 0x10n), origin), end(startA, at(1, 0x20n), at(1, 0x10n))];
  const shares = [
    shareIn(one, 0, partOf(3, 0, 2), 'x'), shareIn(one, 1, partOf(4, 0, 4), 'x'), shareIn(one, 2, partOf(1, 0, 0), 'x'),
    shareIn(two, 0, partOf(1, 3, 3), 'x'), shareIn(two, 1, partOf(1, 5, 5), 'x'), shareIn(two, 2, partOf(1, 1, 1), 'x'),
  ];
  assert.deepEqual(await read(log, shares), ['x: 0 1 2 t 4 5 0 1 2']);
  const short = shares.with(4, shareIn(two, 1, partOf(2, 5, 5), 'x'));
  await assert.rejects(read(log, short), isCode('gap', /holds 1 of the 2 events .* in partition 1/));
});

/** As a reader whose partitions become visible each for itself. */
function unordered(log: WrittenLog, late: number): TransactionReader {
  const reader = new Proxy(log.reader, {
    get: (target, name) => {
      const value: unknown = name === 'lateAfter' ? late : Reflect.get(target, name, target);
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
    },
  });
  return new TransactionReader(reader, new SchemaReader(reader, 'shop.schema'), createTupleCodec());
}

test('END: the range: where partitions become visible apart, events that an END names are waited for', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events(a(0x10n, 0));
  const runs = unordered(log, 60_000).read([share(0x10n, partOf(3, 0, 2), 'x')], 1 << 20);
  const first = runs.next();
  await log.events(a(0x10n, 1));
  await log.events(a(0x10n, 2));
  const { value } = (await first) as IteratorYieldResult<Run<string>>;
  assert.equal(value.changes.length, 3);
});

test('END: the range: events that do not become visible in time are a gap', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events(a(0x10n, 0));
  await assert.rejects(unordered(log, 1).read([share(0x10n, partOf(3, 0, 2), 'x')], 1 << 20).next(), isCode('gap', /holds 1 of the 3 .* ends at 1/));
  await assert.rejects(unordered(log, 1).read([share(0x10n, partOf(1, 7, 7), 'x')], 1 << 20).next(), isCode('gap', /ends at 1/), 'beyond the end of the partition');
});
