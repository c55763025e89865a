import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { LogDoor } from '../../src/app/log-door.ts';
import { tupleOf } from '../../src/event/tuple.ts';
import { embeddedLogConfig } from '../../src/log/embedded/config.ts';
import { createEmbeddedLog } from '../../src/log/embedded/index.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import type { EndRecord } from '../../src/pipeline/control-records.ts';
import { appendRecord } from '../../src/pipeline/group.ts';
import { batchOf, record } from '../contract/log-samples.ts';
import { tableOf } from '../pipeline/harness.ts';
import { ends } from '../pipeline/log-view.ts';
import { insert } from '../support/scripted-source.ts';
import { tailrace } from './fake-terminal.ts';
import { commitAll, commitAt, merged, mergeCommands, mergeKilled, mergeOvertaken, mergeStage, orders, others, payments, timeOf, told, type MergeStage } from './merge-commands.ts';

const stage = (t: TestContext, name = 'shop', more = ''): Promise<MergeStage> => mergeStage(t, { name, log: (directory) => `{ type: embedded, directory: ${directory} }`, more });
const folderOf = ({ file }: MergeStage): string => join(dirname(file), 'log');

mergeCommands('the embedded log', (t) => stage(t));

test('logs in folders, of other pipelines and of other times, are merged by commit time, each in its own order; their rows are read with their own shapes', async (t) => {
  const [shop, old] = [await stage(t), await stage(t)];
  const formerOrders = tableOf('orders', 1);
  old.source.tables = [formerOrders, others];
  commitAt(old.source, 1, insert(formerOrders, ['o1']));
  commitAt(old.source, 9, insert(formerOrders, ['o9']), insert(others, ['o9']));
  // Its clock was put back: it stays behind what came before it.
  commitAt(old.source, 3, insert(formerOrders, ['o3']));
  commitAt(shop.source, 2, insert(orders, ['s2', 'lamp']), insert(orders, ['s2b', 'lamp']));
  commitAt(shop.source, 8, insert(payments, ['s8', '1', 'x']));
  commitAt(shop.source, 10, insert(orders, ['s10', 'end']));
  for (const each of [shop, old]) await each.publish();
  const merge = (): Promise<{ code: number; err: string; out: string }> => shop.run(['topics', 'merge', 'public.*', folderOf(old), '--into', 'history']);
  const said = await merge();
  assert.equal(said.code, 0, said.err);
  assert.match(said.out, new RegExp(`\n${folderOf(old)}:shop\\.public\\.orders +source +3 [^]*\n${folderOf(old)}:shop\\.public\\.others +source +1 `));
  const expected = ['orders c o1', 'orders c s2', 'orders c s2b', 'payments c s8', 'orders c o9', 'others c o9', 'orders c o3', 'orders c s10'];
  const history = await shop.records('history');
  assert.deepEqual(history.map(told), expected);
  assert.deepEqual(history.map(({ after }) => Object.keys(after ?? {}).length), [1, 2, 2, 3, 1, 1, 1, 2], 'each row has the columns of its own table');
  assert.deepEqual(new Set(history.map(({ from_log: log, after }) => `${log} ${after?.['a']?.[0]}`)).size, 2);
  assert.match((await shop.run(['topics', 'list'])).out, /shop\.merged-shapes +shapes +1 +2 /);
  const bySeveral = await shop.run(['consume', 'history', '--from-lsn', '0/0']);
  assert.match(bySeveral.err, /history is merged from several logs, whose LSNs mean nothing to each other/);
  // One topic of the folder, where there is more by now; and the same topics again, with a table that is new.
  commitAt(old.source, 11, insert(others, ['o11']));
  commitAt(shop.source, 12, insert(others, ['s12']));
  for (const each of [shop, old]) await each.publish();
  assert.equal((await merge()).code, 0);
  assert.deepEqual((await shop.records('history')).map(told), [...expected, 'others c o11', 'others c s12']);
  assert.equal((await shop.run(['topics', 'merge', `${folderOf(old)}:public.others`, '--into', 'some'])).code, 0);
  assert.deepEqual((await shop.records('some')).map(told), ['others c o9', 'others c o11']);
});

test('what no valid END names is left out, and a transaction that retention has taken before it was merged is a gap', async (t) => {
  const shop = await stage(t);
  const { run, records, source, publish } = shop;
  commitAll(source);
  await publish();
  const log = createEmbeddedLog(embeddedLogConfig.parse({ directory: folderOf(shop) }));
  const last = await (async (): Promise<EndRecord & { at: number }> => {
    const reader = await log.openReader();
    const [end] = (await ends(reader)).slice(-1);
    await reader.close();
    assert.ok(end !== undefined);
    return end;
  })();
  const { at: _, ...end } = last;
  // As a publisher that was replaced leaves it.
  const zombie = await log.openWriter();
  await appendRecord(zombie, 'shop.transaction', { value: encodeControl({ ...end, startId: 'ffffffffffffffff' }) });
  await zombie.close();
  const merge = (): ReturnType<MergeStage['run']> => run(['topics', 'merge', 'public.orders', 'public.payments', '--into', 'all']);
  assert.equal((await merge()).code, 0);
  assert.deepEqual((await records('all')).map(told), merged);
  source.commit([insert(orders, ['7', 'gone'])]);
  await publish();
  const writer = await log.openWriter();
  writer.roll('shop.transaction', 0);
  await writer.close();
  source.commit([insert(orders, ['8', 'kept'])]);
  await publish();
  const trimmed = await log.openWriter();
  const { end: newest } = trimmed.range('shop.transaction', 0);
  await trimmed.trim('shop.transaction', 0, newest);
  assert.ok(trimmed.range('shop.transaction', 0).start > 0);
  await trimmed.close();
  const gap = await merge();
  assert.equal(gap.code, 4, gap.out);
  assert.match(gap.err, /transactions of shop are missing that were not merged yet[^]*merge into another topic, or delete this one first/);
  assert.deepEqual((await records('all')).map(told), merged, 'nothing is passed over');
});

test('events of another format are refused, and so is compaction of a merged topic, and one that ends within an append', async (t) => {
  const [tuple, json] = [await stage(t), await stage(t, 'other', 'format: json\n')];
  for (const { source, publish } of [tuple, json]) {
    source.commit([insert(orders, ['1', 'x'])]);
    await publish();
  }
  const said = await tuple.run(['topics', 'merge', 'public.orders', `${folderOf(json)}:public.orders`, '--into', 'all']);
  assert.equal(said.code, 2);
  assert.match(said.err, /events of .* are written as (json|tuple), and those of .* in (json|tuple)/);
  assert.equal((await tuple.run(['topics', 'merge', 'public.orders', '--into', 'all'])).code, 0);
  const compacted = await tuple.run(['topics', 'compact', 'all']);
  assert.equal(compacted.code, 2);
  assert.match(compacted.err, /merged from other topics: rows of two tables may have the same key/);
  const writer = await createEmbeddedLog(embeddedLogConfig.parse({ directory: folderOf(tuple) })).openWriter();
  await writer.append([batchOf(writer, ['shop.all', 0], [{ ...record('x'), headers: { 'tailrace.topic': 'shop.public.orders' } }])]);
  await writer.close();
  const cut = await tuple.run(['topics', 'merge', 'public.orders', '--into', 'all']);
  assert.equal(cut.code, 2);
  assert.match(cut.err, /shop\.all ends within an append[^]*Delete it and merge again/);
});

test('results of a stream, whose shapes are its own, are merged with the tables that they are made of', async (t) => {
  const shop = await stage(t);
  commitAt(shop.source, 1, insert(orders, ['1', 'lamp']));
  commitAt(shop.source, 3, insert(orders, ['2', 'desk']));
  await shop.publish();
  const totals = tableOf('totals', 1);
  const publisher = await shop.bench.start();
  const stream = await publisher.openStream('sales', { shapes: [totals], systemIdentifier: shop.source.server.systemIdentifier, logId: publisher.writer.logId, anew: false });
  const [first] = shop.source.wal;
  assert.ok(first !== undefined);
  await stream.publish([{ shape: totals, before: null, after: tupleOf(['t2']) }], { place: { epoch: 1, commitLsn: first.commitLsn }, commitTime: timeOf(2) }, true);
  await shop.bench.stop();
  const said = await shop.run(['topics', 'merge', 'public.orders', 'stream.sales.public.totals', '--into', 'all']);
  assert.equal(said.code, 0, said.err);
  const all = await shop.records('all');
  assert.deepEqual(all.map(told), ['orders c 1', 'totals c t2', 'orders c 2']);
  assert.deepEqual(all.map(({ table, from_log: log }) => [table, log]), [['public.orders', undefined], ['public.totals', undefined], ['public.orders', undefined]]);
});

test('after the log was copied to another place the merge goes on there', async (t) => {
  const shop = await stage(t);
  commitAll(shop.source);
  await shop.publish();
  const args = ['topics', 'merge', 'public.orders', 'public.payments', '--into', 'all'];
  assert.equal((await shop.run(args)).code, 0);
  const moved = await mergeStage(t, { name: 'shop', log: (directory) => `{ type: embedded, directory: ${directory} }`, source: shop.source });
  const copied = await tailrace(['topics', 'copy', shop.file, moved.file]);
  assert.equal(copied.code, 0, copied.err);
  assert.match((await moved.run(args)).out, /\n0 records were merged/);
  moved.source.commit([insert(orders, ['5', 'new'])]);
  await moved.publish();
  assert.equal((await moved.run(args)).code, 0);
  assert.deepEqual((await moved.records('all')).map(told), [...merged, 'orders c 5']);
  const old = await shop.run(args);
  assert.equal(old.code, 3);
  assert.match(old.err, /this log ends here: it was copied to/);
});

test('an event that is larger than a daemon takes from a command is merged where none runs; where one does, that is said', async (t) => {
  const shop = await stage(t);
  shop.source.commit([insert(orders, ['1', 'x'.repeat(12 << 20)])]);
  await shop.publish();
  assert.equal((await shop.run(['topics', 'merge', 'public.orders', '--into', 'all'])).code, 0);
  assert.deepEqual((await shop.records('all')).map(told), ['orders c 1']);
  const daemon = await createEmbeddedLog(embeddedLogConfig.parse({ directory: folderOf(shop) })).openWriter();
  const door = new LogDoor(shop.config, dirname(shop.file));
  const large = { key: null, value: 'A'.repeat(16 << 20), headers: [], timestamp: 0, partition: 0 };
  await assert.rejects(door.ask({ do: 'append', topic: 'shop.all', records: [large] }), { code: 'log-record-too-large', message: /a record of about 12\.0 MiB is more than a daemon takes/ });
  await daemon.close();
});

mergeKilled('the embedded log', [(t) => stage(t), (t) => stage(t, 'old')], ['merge.shape_written', 'log.group_written_unsynced', 'log.synced_unpublished', 'log.topic_half_written', 'merge.appended:2']);

mergeOvertaken('the embedded log', (each) => stage(each));
