import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEmbeddedLog } from '../../src/log/embedded/embedded-log.ts';
import { producedBytes, trimProduced } from '../../src/pipeline/produced-retention.ts';
import { isProduced } from '../../src/pipeline/topics.ts';
import { batchOf, lastFirst, record } from '../contract/log-samples.ts';
import { tempDirectory } from '../support/temp.ts';

test('only a name without a dot behind the pipeline is for people', () => {
  for (const topic of ['shop.clicks', 'shop.transactions', 'shop.sink']) assert.ok(isProduced(topic), topic);
  for (const topic of ['shop.transaction', 'shop.schema', 'shop.message', 'shop.public.orders', 'shop.sink.local', 'shop.stream.sales.transaction', 'shop.merged-shapes', 'shop']) assert.ok(!isProduced(topic), topic);
});

test('retention: what people produced goes by age, and nothing else does; its bytes are told apart', async (t) => {
  const scope = lastFirst(t);
  const log = openEmbeddedLog({ directory: await tempDirectory(scope), segmentSize: 1 });
  const writer = await log.openWriter();
  for (const topic of ['shop.clicks', 'shop.all', 'shop.public.orders']) await writer.createTopic({ topic, partitions: 1 });
  const reader = await log.openReader();
  scope.after(async () => {
    await reader.close();
    await writer.close();
  });
  for (const timestamp of [Date.now() - 7_200_000, Date.now()]) {
    await writer.append(['shop.clicks', 'shop.public.orders'].map((topic) => batchOf(writer, [topic, 0], [{ ...record('x'), timestamp }])));
  }
  const headers = { 'tailrace.topic': 'shop.public.orders' };
  for (const timestamp of [1, 2]) await writer.append([batchOf(writer, ['shop.all', 0], [{ ...record('x'), timestamp, headers }])]);
  const publisher = { reader, writer, exclusively: <T>(work: (of: typeof writer) => Promise<T>) => work(writer) };
  const [others] = await reader.sizes({ topic: 'shop.public.orders', partitions: 1 });
  assert.equal(await producedBytes(publisher), (await writer.size()) - (others?.bytes ?? 0));
  await trimProduced(publisher, 3_600_000);
  assert.deepEqual(writer.range('shop.clicks', 0), { start: 1, end: 2 });
  assert.deepEqual(writer.range('shop.public.orders', 0), { start: 0, end: 2 });
  assert.deepEqual(writer.range('shop.all', 0), { start: 1, end: 2 }, 'the last record of a merged topic says where the merge goes on');
});
