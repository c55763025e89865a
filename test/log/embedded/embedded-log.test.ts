import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import type { Log } from '../../../src/log/log.ts';
import { logContract } from '../../contract/log.ts';
import { groupsContract } from '../../contract/log-groups.ts';
import { topicsContract } from '../../contract/log-topics.ts';
import { batchOf, record, valuesOf } from '../../contract/log-samples.ts';
import { tempDirectory } from '../../support/temp.ts';

// Small segments and a small journal, so that every test rolls and rotates.
const small = async (scope: Parameters<Parameters<typeof logContract>[1]>[0]): Promise<Log> => openEmbeddedLog({ directory: await tempDirectory(scope), segmentSize: 64 * 1024, journalSize: 128 * 1024 });
logContract('the embedded log', small);
topicsContract('the embedded log', small);
groupsContract('the embedded log', async (scope) => ({ log: await small(scope), prefix: '' }));

test('a log keeps its id, and its readers know it', async () => {
  const log = openEmbeddedLog({ directory: await tempDirectory() });
  const writer = await log.openWriter();
  await writer.close();
  const again = await log.openWriter();
  assert.equal(again.logId, writer.logId);
  const reader = await log.openReader();
  assert.equal(reader.logId, writer.logId);
  await reader.close();
  await again.close();
});

test('an error in what follows leaves the log as it was', async () => {
  const log = openEmbeddedLog({ directory: await tempDirectory() });
  const writer = await log.openWriter();
  await writer.createTopic({ topic: 't', partitions: 1 });
  await assert.rejects(writer.append([batchOf(writer, ['t', 0], [record('lost')])], () => {
    throw new RangeError('mine');
  }), RangeError);
  await writer.append([batchOf(writer, ['t', 0], [record('kept')])]);
  const reader = await log.openReader();
  assert.deepEqual(await valuesOf(reader, ['t', 0]), ['kept']);
  await reader.close();
  await writer.close();
});

test('it is the append that ends a wait, not a timer', { timeout: 30_000 }, async (t) => {
  const directory = await tempDirectory();
  const writer = await openEmbeddedLog({ directory }).openWriter();
  await writer.createTopic({ topic: 't', partitions: 1 });
  const reader = await openEmbeddedLog({ directory, shared: writer.shared }).openReader();
  const { waitAsync } = Atomics;
  // Without its timeouts a wait that is not woken never ends.
  t.mock.method(Atomics, 'waitAsync', (array: Int32Array, at: number, value: number) => waitAsync(array, at, value));
  t.mock.timers.enable({ apis: ['setTimeout'] });
  for (let offset = 0; offset < 20; offset++) {
    const wait = reader.wait('t', 0, offset, new AbortController().signal);
    await new Promise(setImmediate);
    await writer.append([batchOf(writer, ['t', 0], [record('x')])]);
    await wait;
  }
  t.mock.timers.reset();
  await reader.close();
  await writer.close();
});
