import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { Log, LogReader, LogWriter } from '../../src/log/log.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import type { Slice } from '../../src/runtime/slice.ts';
import { batchOf, draftOf, lastFirst, readAll, record, sliceOf, textOf, valuesOf, type PlainRecord } from './log-samples.ts';

const t0 = ['t', 0] as const;
const never = new AbortController().signal;

interface Scope {
  after(fn: () => unknown): void;
}

/** The rules of src/log/log.ts, for any log. `create` gives a new, empty log that is removed with the test; `missing`: why there is none. */
export function logContract(name: string, create: (scope: Scope) => Promise<Log>, missing?: string): void {
  const opened = async (t: Scope): Promise<{ scope: Scope; log: Log; writer: LogWriter; reader: LogReader }> => {
    const scope = lastFirst(t);
    const log = await create(scope);
    const writer = await log.openWriter();
    scope.after(() => writer.close());
    await writer.createTopic({ topic: 't', partitions: 2 });
    const reader = await log.openReader();
    scope.after(() => reader.close());
    return { scope, log, writer, reader };
  };

  suite(`${name} keeps the contract of a log`, { skip: missing ?? false }, () => {
    test('records come back as they were appended, byte by byte and in order', async (t) => {
      const { writer, reader } = await opened(t);
      const bytes = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 300 });
      const anyRecord: fc.Arbitrary<PlainRecord> = fc.record({
        timestamp: fc.integer({ min: 0, max: 2 ** 50 }),
        key: fc.option(bytes),
        value: fc.option(bytes),
        headers: fc.dictionary(fc.constantFrom('a', 'bb', 'ordinal'), bytes, { noNullPrototype: true }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(fc.array(anyRecord, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 3 }), async (batches) => {
          const { end } = writer.range('t', 0);
          await writer.append(batches.map((records) => batchOf(writer, t0, records)));
          const read = await readAll(reader, t0, { from: end, names: ['a', 'bb', 'ordinal'] });
          assert.deepEqual(read, batches.flat().map((plain, i) => ({ ...plain, offset: end + i })));
        }),
        { numRuns: 50 },
      );
    });

    test('null and empty stay apart, and a header that is null is left out', async (t) => {
      const { writer, reader } = await opened(t);
      const batch = writer.batch('t', 0);
      const absent = { name: 'gone', value: { bytes: new Uint8Array(0), start: -1, end: -1 } };
      batch.add({ ...draftOf({ timestamp: 1, key: null, value: '' }), headers: [absent, ...draftOf({ ...record(''), headers: { here: '' } }).headers] });
      batch.add(draftOf({ timestamp: 1, key: '', value: null }));
      await writer.append([batch]);
      const read = await readAll(reader, t0, { names: ['gone', 'here'] });
      assert.deepEqual(read.map(({ key, value, headers }) => ({ key, value, headers })), [
        { key: null, value: '', headers: { here: '' } },
        { key: '', value: null, headers: {} },
      ]);
    });

    test('a draft may be used again as soon as it was added', async (t) => {
      const { writer, reader } = await opened(t);
      const batch = writer.batch('t', 0);
      const draft = draftOf(record('first'));
      batch.add(draft);
      draft.value.bytes.fill(0x78);
      draft.timestamp = 7;
      batch.add(draft);
      assert.equal(batch.count, 2);
      assert.ok(batch.bytes > 0);
      await writer.append([batch]);
      assert.deepEqual((await readAll(reader, t0)).map(({ value, timestamp }) => [value, timestamp]), [['first', 1000], ['xxxxx', 7]]);
    });

    test('offsets begin at 0 and have no holes, each partition for itself', async (t) => {
      const { writer, reader } = await opened(t);
      assert.deepEqual(writer.range('t', 0), { start: 0, end: 0 });
      for (let i = 0; i < 3; i++) {
        await writer.append([batchOf(writer, t0, [record(`a${i}`), record(`b${i}`)]), batchOf(writer, ['t', 1], [record(`c${i}`)])]);
      }
      assert.deepEqual(writer.range('t', 0), { start: 0, end: 6 });
      assert.deepEqual(await reader.range('t', 1), { start: 0, end: 3 });
      assert.deepEqual((await readAll(reader, t0)).map(({ offset, value }) => `${offset} ${value}`), ['0 a0', '1 b0', '2 a1', '3 b1', '4 a2', '5 b2']);
      assert.ok((await writer.size()) > 0);
    });

    test('what follows is told where the data went, and stands behind it', async (t) => {
      const { writer, reader } = await opened(t);
      await writer.append([batchOf(writer, t0, [record('before')])]);
      const behind = await writer.append(
        [batchOf(writer, t0, [record('x'), record('y')]), batchOf(writer, ['t', 1], [record('z')]), batchOf(writer, t0, [record('w')])],
        (placed) => [batchOf(writer, ['t', 1], [record(`END ${placed.map((batch) => batch.offsetOf(0)).join()} ${placed[0]?.offsetOf(1)}`)]), batchOf(writer, t0, [record('v')])],
      );
      assert.deepEqual(behind.map((batch) => batch.offsetOf(0)), [1, 4]);
      assert.deepEqual(await valuesOf(reader, t0), ['before', 'x', 'y', 'w', 'v']);
      assert.deepEqual(await valuesOf(reader, ['t', 1]), ['z', 'END 1,0,3 2']);
    });

    test('an append of nothing changes nothing', async (t) => {
      const { writer } = await opened(t);
      await writer.append([]);
      await writer.append([writer.batch('t', 0)], () => []);
      assert.deepEqual(writer.range('t', 0), { start: 0, end: 0 });
    });

    test('a batch may be filled while another is appended', async (t) => {
      const { writer, reader } = await opened(t);
      const under = writer.append([batchOf(writer, t0, [record('one')])]);
      const next = batchOf(writer, t0, [record('two')]);
      await under;
      next.add(draftOf(record('three')));
      await writer.append([next]);
      assert.deepEqual(await valuesOf(reader, t0), ['one', 'two', 'three']);
    });

    test('a topic that is there is not made again, and never with another number of partitions', async (t) => {
      const { writer, reader } = await opened(t);
      await writer.append([batchOf(writer, t0, [record('kept')])]);
      await writer.createTopic({ topic: 't', partitions: 2 });
      await assert.rejects(writer.createTopic({ topic: 't', partitions: 3 }), TailraceError);
      await writer.createTopic({ topic: 'T.second_-1', partitions: 1 });
      const byName = (a: { topic: string }, b: { topic: string }): number => (a.topic < b.topic ? -1 : 1);
      const expected = [{ topic: 'T.second_-1', partitions: 1 }, { topic: 't', partitions: 2 }];
      assert.deepEqual([...writer.topics()].sort(byName), expected);
      assert.deepEqual([...(await reader.topics())].sort(byName), expected);
      assert.deepEqual(await valuesOf(reader, t0), ['kept']);
    });

    test('a writer that is opened again goes on where the last one stood', async (t) => {
      const { scope, log, writer, reader } = await opened(t);
      await writer.append([batchOf(writer, t0, [record('one'), record('two')])]);
      await writer.close();
      await assert.rejects(async () => writer.append([]), TailraceError);
      const again = await log.openWriter();
      scope.after(() => again.close());
      assert.deepEqual(again.topics(), [{ topic: 't', partitions: 2 }]);
      assert.deepEqual(again.range('t', 0), { start: 0, end: 2 });
      await again.append([batchOf(again, t0, [record('three')])]);
      assert.deepEqual(await valuesOf(reader, t0), ['one', 'two', 'three']);
    });

    test('a reader that was closed reads no more', async (t) => {
      const { log } = await opened(t);
      const reader = await log.openReader();
      const wait = reader.wait('t', 0, 0, never);
      await reader.close();
      await wait;
      await assert.rejects(reader.fetch('t', 0, 0, 1000), TailraceError);
    });

    test('a fetch begins at the very offset that was asked for, in the middle of a batch too', async (t) => {
      const { writer, reader } = await opened(t);
      await writer.append([batchOf(writer, t0, Array.from({ length: 10 }, (_, i) => record(`${i}`)))]);
      for (let from = 0; from <= 10; from++) {
        const read = await readAll(reader, t0, { from });
        assert.deepEqual(read.map(({ offset }) => offset), Array.from({ length: 10 - from }, (_, i) => from + i));
      }
    });

    test('a fetch brings about as much as was asked for, and one batch at least', async (t) => {
      const { writer, reader } = await opened(t);
      // Nothing that compression would make small.
      const large = randomBytes(50_000).toString('latin1');
      for (let i = 0; i < 20; i++) await writer.append([batchOf(writer, t0, [record(large)])]);
      const few = await reader.fetch('t', 0, 0, 120_000);
      assert.ok(few.nextOffset >= 1 && few.nextOffset <= 3, `next offset ${few.nextOffset}`);
      const one = await reader.fetch('t', 0, 5, 10);
      assert.equal(one.nextOffset, 6);
      assert.equal((await valuesOf(reader, t0, 120_000)).length, 20);
    });

    test('a fetch says whether there was more behind it', async (t) => {
      const { writer, reader } = await opened(t);
      const large = randomBytes(50_000).toString('latin1');
      for (let i = 0; i < 4; i++) await writer.append([batchOf(writer, t0, [record(large)])]);
      for (const most of [10, 120_000, 1 << 20]) {
        for (let from = 0; from < 4; ) {
          const { nextOffset, isLast } = await reader.fetch('t', 0, from, most);
          assert.equal(isLast, nextOffset === 4, `${most} bytes from ${from} on`);
          from = nextOffset;
        }
      }
      assert.equal((await reader.fetch('t', 0, 4, 10)).isLast, true, 'where there is nothing');
      await writer.append([batchOf(writer, t0, [record('more')])]);
      assert.equal((await reader.fetch('t', 0, 3, 10)).isLast, false);
    });

    test('an offset below the first one held or beyond the end is an error, the end is not', async (t) => {
      const { writer, reader } = await opened(t);
      await writer.append([batchOf(writer, t0, [record('a')])]);
      const cursor = await reader.fetch('t', 0, 1, 1000);
      assert.equal(cursor.next(), false);
      assert.equal(cursor.nextOffset, 1);
      await assert.rejects(reader.fetch('t', 0, 2, 1000), { code: 'offset-out-of-range' });
      await assert.rejects(reader.fetch('t', 1, 1, 1000), { code: 'offset-out-of-range' });
    });

    test('what was fetched stays good while more is fetched', async (t) => {
      const { writer, reader } = await opened(t);
      for (const text of ['a', 'b', 'c']) await writer.append([batchOf(writer, t0, [record(text.repeat(1000))])]);
      const kept: Slice[] = [];
      for (let offset = 0; offset < 3; offset++) {
        const cursor = await reader.fetch('t', 0, offset, 10);
        assert.ok(cursor.next());
        kept.push({ ...cursor.value });
      }
      assert.deepEqual(kept.map((slice) => textOf(slice)?.slice(0, 2)), ['aa', 'bb', 'cc']);
    });

    test('cursors of two partitions do not disturb each other', async (t) => {
      const { writer, reader } = await opened(t);
      await writer.append([batchOf(writer, t0, [record('a'), record('b')]), batchOf(writer, ['t', 1], [record('c'), record('d')])]);
      const [left, right] = [await reader.fetch('t', 0, 0, 1000), await reader.fetch('t', 1, 0, 1000)];
      assert.ok(left.next() && right.next() && left.next());
      assert.deepEqual([textOf(left.value), textOf(right.value)], ['b', 'c']);
    });

    test('a wait ends when the record comes', async (t) => {
      const { writer, reader } = await opened(t);
      for (let offset = 0; offset < 5; offset++) {
        assert.equal((await reader.fetch('t', 0, offset, 1000)).nextOffset, offset);
        const wait = (async () => {
          do await reader.wait('t', 0, offset, never);
          while ((await reader.fetch('t', 0, offset, 1000)).nextOffset === offset);
        })();
        await new Promise(setImmediate);
        await writer.append([batchOf(writer, t0, [record('x')])]);
        await wait;
      }
      await reader.wait('t', 0, 2, never);
    });

    test('a wait ends when it is aborted, and after a while by itself', async (t) => {
      const { reader } = await opened(t);
      await reader.wait('t', 0, 0, AbortSignal.abort());
      const controller = new AbortController();
      const wait = reader.wait('t', 0, 0, controller.signal);
      controller.abort();
      await wait;
      await reader.wait('t', 0, 0, never);
    });

    test('a topic that is not there yet is empty, can be waited for, and is not made by looking', async (t) => {
      const { writer, reader } = await opened(t);
      assert.deepEqual(await reader.range('later', 0), { start: 0, end: 0 });
      assert.equal((await reader.fetch('later', 0, 0, 1000)).next(), false);
      const wait = (async () => {
        while ((await reader.range('later', 0)).end === 0) await reader.wait('later', 0, 0, never);
      })();
      assert.deepEqual((await reader.topics()).map(({ topic }) => topic), ['t']);
      await writer.createTopic({ topic: 'later', partitions: 1 });
      await writer.append([batchOf(writer, ['later', 0], [record('now')])]);
      await wait;
      assert.deepEqual(await valuesOf(reader, ['later', 0]), ['now']);
    });

    test('the first record at or after a time is found', async (t) => {
      const { writer, reader } = await opened(t);
      assert.equal(await reader.offsetAt('t', 0, 0), 0);
      for (const times of [[10, 20], [15, 30, 30], [40]]) {
        await writer.append([batchOf(writer, t0, times.map((time) => record('x', time)))]);
      }
      const found = await Promise.all([0, 10, 11, 20, 21, 30, 31, 40, 41].map((time) => reader.offsetAt('t', 0, time)));
      assert.deepEqual(found, [0, 0, 1, 1, 3, 3, 5, 5, 6]);
    });

    test('a trim never takes a record at or above its offset, and the offsets stay', async (t) => {
      const { scope, log, writer, reader } = await opened(t);
      for (let i = 0; i < 40; i++) await writer.append([batchOf(writer, t0, [record(`${i} ${'x'.repeat(20_000)}`)])]);
      for (const offset of [0, 1, 13, 26, 39]) {
        await writer.trim('t', 0, offset);
        const { start, end } = await reader.range('t', 0);
        assert.ok(start <= offset, `start ${start} after a trim at ${offset}`);
        assert.equal(end, 40);
        assert.deepEqual(writer.range('t', 0), { start, end });
        if (start > 0) await assert.rejects(reader.fetch('t', 0, start - 1, 1000), { code: 'offset-out-of-range' });
        const read = await readAll(reader, t0);
        assert.deepEqual(read.map(({ value }) => Number(value?.split(' ')[0])), Array.from({ length: 40 - start }, (_, i) => start + i));
      }
      await writer.trim('t', 0, 40);
      await writer.append([batchOf(writer, t0, [record('40')])]);
      assert.deepEqual(await valuesOf(reader, t0), ['40']);
      await writer.close();
      const again = await log.openWriter();
      scope.after(() => again.close());
      assert.deepEqual(again.range('t', 0), { start: 40, end: 41 });
    });

    test('a record of many megabytes passes, between small ones', async (t) => {
      const { writer, reader } = await opened(t);
      const large = 'é'.repeat(3_000_000);
      await writer.append([batchOf(writer, t0, [record('a'), record(large), record('b')])]);
      const values = await valuesOf(reader, t0, 1000);
      assert.equal(values.length, 3);
      assert.deepEqual([values[0], values[2]], ['a', 'b']);
      assert.ok(values[1] === large);
    });

    test('an error in what follows is passed on, and the writer goes on', async (t) => {
      const { writer, reader } = await opened(t);
      const failing = writer.append([batchOf(writer, t0, [record('lost')])], () => {
        throw new RangeError('mine');
      });
      await assert.rejects(failing, { name: 'RangeError' });
      await writer.append([batchOf(writer, t0, [record('kept')])]);
      assert.equal((await valuesOf(reader, t0)).at(-1), 'kept');
    });

    test('a key has its partition, the same one each time, and a topic of events as many as it is to have', async (t) => {
      const { writer } = await opened(t);
      const partitions = writer.partitionsFor('t');
      assert.ok(partitions >= 1);
      for (const text of ['', 'a', 'another key', null]) {
        const found = writer.partitionOf(sliceOf(text), partitions);
        assert.ok(found >= 0 && found < partitions);
        assert.equal(writer.partitionOf(sliceOf(text), partitions), found);
      }
    });
  });
}
