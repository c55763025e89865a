import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Log, LogReader, LogWriter } from '../../src/log/log.ts';
import { batchOf, lastFirst, record, valuesOf } from './log-samples.ts';

interface Scope {
  after(fn: () => unknown): void;
}

/** What src/log/log.ts says of changing and deleting topics, for any log. */
export function topicsContract(name: string, create: (scope: Scope) => Promise<Log>, missing?: string): void {
  const opened = async (t: Scope): Promise<{ log: Log; writer: LogWriter; reader: LogReader; reopen: () => Promise<LogWriter> }> => {
    const scope = lastFirst(t);
    const log = await create(scope);
    const writer = await log.openWriter();
    scope.after(() => writer.close());
    await writer.createTopic({ topic: 't', partitions: 1 });
    await writer.createTopic({ topic: 'other', partitions: 1 });
    const reader = await log.openReader();
    scope.after(() => reader.close());
    const reopen = async (): Promise<LogWriter> => {
      await writer.close();
      const again = await log.openWriter();
      scope.after(() => again.close());
      return again;
    };
    return { log, writer, reader, reopen };
  };
  const names = (specs: readonly { readonly topic: string }[]): readonly string[] => specs.map(({ topic }) => topic).toSorted();

  suite(`${name} changes and deletes topics by the contract`, { skip: missing ?? false }, () => {
    test('a deleted topic is gone with its records, and one of its name begins anew; others keep theirs', async (t) => {
      const { log, writer, reopen } = await opened(t);
      for (let i = 0; i < 3; i++) await writer.append([batchOf(writer, ['t', 0], [record(`old ${i}`)]), batchOf(writer, ['other', 0], [record(`kept ${i}`)])]);
      await writer.deleteTopic('t');
      await writer.deleteTopic('t');
      assert.deepEqual(names(writer.topics()), ['other']);
      const between = await log.openReader();
      assert.deepEqual(names(await between.topics()), ['other']);
      await between.close();
      await writer.createTopic({ topic: 't', partitions: 2 });
      await writer.append([batchOf(writer, ['t', 1], [record('new')])]);
      const again = await reopen();
      assert.deepEqual(again.range('t', 1), { start: 0, end: 1 });
      const reader = await log.openReader();
      assert.deepEqual(await valuesOf(reader, ['t', 1]), ['new']);
      assert.deepEqual(await valuesOf(reader, ['t', 0]), []);
      assert.deepEqual(await valuesOf(reader, ['other', 0]), ['kept 0', 'kept 1', 'kept 2']);
      await reader.close();
    });

    test('more partitions take records at once and keep those that were there; fewer are refused', async (t) => {
      const { writer, reader, reopen } = await opened(t);
      await writer.append([batchOf(writer, ['t', 0], [record('a')])]);
      await writer.alterTopic('t', { partitions: 3 });
      await assert.rejects(writer.alterTopic('t', { partitions: 2 }), { code: 'log-settings' });
      await writer.append([batchOf(writer, ['t', 0], [record('b')]), batchOf(writer, ['t', 2], [record('c')])]);
      const again = await reopen();
      assert.equal(again.topics().find(({ topic }) => topic === 't')?.partitions, 3);
      assert.deepEqual(await valuesOf(reader, ['t', 0]), ['a', 'b']);
      assert.deepEqual(await valuesOf(reader, ['t', 2]), ['c']);
    });

    test('sizes say what each partition takes', async (t) => {
      const { writer, reader } = await opened(t);
      await writer.alterTopic('t', { partitions: 2 });
      await writer.append([batchOf(writer, ['t', 1], [record('x'.repeat(5000))])]);
      const [empty, full] = await reader.sizes({ topic: 't', partitions: 2 });
      assert.equal(empty?.bytes, 0);
      assert.ok((full?.bytes ?? 0) >= 5000 && (full?.bytes ?? 0) < 6000, `${full?.bytes} bytes`);
      assert.ok(full?.segments === null || full?.segments === 1);
    });
  });
}
