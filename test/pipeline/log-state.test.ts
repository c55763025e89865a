import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { openEmbeddedLog } from '../../src/log/embedded/embedded-log.ts';
import type { LogReader, LogWriter } from '../../src/log/log.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import type { ControlRecord, EndRecord, Place, SnapshotRecord, StartRecord } from '../../src/pipeline/control-records.ts';
import { controlDraft } from '../../src/pipeline/group.ts';
import { copyKey, readProgress, readSchemaState } from '../../src/pipeline/log-state.ts';
import { topicNames } from '../../src/pipeline/topics.ts';
import { tempDirectory } from '../support/temp.ts';

const topics = topicNames('shop');

interface Given {
  readonly reader: LogReader;
  readonly writer: LogWriter;
  write(topic: string, ...records: ControlRecord[]): Promise<void>;
}

async function emptyLog(t: TestContext): Promise<Given> {
  const open: { close(): Promise<void> }[] = [];
  t.after(async () => {
    for (const each of open) await each.close();
  });
  const log = openEmbeddedLog({ directory: await tempDirectory(t), segmentSize: 65_536 });
  const writer = await log.openWriter();
  for (const topic of [topics.transaction, topics.schema]) await writer.createTopic({ topic, partitions: 1 });
  const reader = await log.openReader();
  open.push(reader, writer);
  const write: Given['write'] = async (topic, ...records) => {
    const batch = writer.batch(topic, 0);
    for (const record of records) batch.add(controlDraft(encodeControl(record), 0));
    await writer.append([batch]);
  };
  return { reader, writer, write };
}

function start(epoch: number, startId: string): StartRecord {
  return { type: 'start', logId: 'x', epoch, startId, systemIdentifier: '7', timeline: 1, slot: 's', tables: [], continues: null, gap: null };
}

function end(startId: string, place: Place, more: Partial<EndRecord> = {}): EndRecord {
  return { type: 'end', startId, ...place, endLsn: place.commitLsn + 1n, commitTime: 0n, previous: place, parts: [], snapshot: null, ...more };
}

const at = (epoch: number, commitLsn: bigint): Place => ({ epoch, commitLsn });

test('the publisher\'s position is the last END that counts, and its START the last valid one', async (t) => {
  const { reader, write } = await emptyLog(t);
  assert.deepEqual(await readProgress(reader, topics), { start: null, end: null, nextOffset: 0 });
  await write(topics.transaction, start(1, 'aa'));
  assert.deepEqual(await readProgress(reader, topics), { start: start(1, 'aa'), end: null, nextOffset: 1 });
  const counting = [end('aa', at(1, 5n)), end('aa', at(1, 9n), { endLsn: 70n })];
  // A zombie's START and END, which count for nobody, and then the valid publisher again.
  await write(topics.transaction, counting[0] as EndRecord, start(1, 'zz'), end('zz', at(1, 8n)), counting[1] as EndRecord, end('zz', at(1, 90n)));
  assert.deepEqual(await readProgress(reader, topics), { start: start(1, 'aa'), end: counting[1], nextOffset: 6 });
  // A newer START without an END: what its forerunner completed stays, what the forerunner writes now does not.
  await write(topics.transaction, start(2, 'bb'), end('aa', at(1, 99n)));
  assert.deepEqual(await readProgress(reader, topics), { start: start(2, 'bb'), end: counting[1], nextOffset: 8 });
});

test('the position is found where retention has removed the START that the oldest ENDs belong to', async (t) => {
  const { reader, writer, write } = await emptyLog(t);
  const filler = end('aa', at(1, 1n), { snapshot: { record: 'x'.repeat(40_000), table: '', first: false, last: false, sink: null } });
  await write(topics.transaction, start(1, 'aa'), filler, filler);
  await write(topics.transaction, end('aa', at(1, 5n)));
  await writer.trim(topics.transaction, 0, 3);
  assert.equal((await reader.range(topics.transaction, 0)).start, 3);
  assert.deepEqual(await readProgress(reader, topics), { start: null, end: end('aa', at(1, 5n)), nextOffset: 4 });
});

function copy(id: string, more: Partial<SnapshotRecord> = {}): SnapshotRecord {
  return {
    type: 'snapshot', id, confirmed: false, table: 'public.t', relid: 5, key: ['id'], sink: null, ask: null, where: null, copy: '1', first: false, last: false, ranges: [{ after: [id], until: null }], rows: 1, rereads: [], from: 0,
    place: at(1, 5n), begin: at(1, 5n), visibility: null, ...more,
  };
}

const confirms = (record: string): Partial<EndRecord> => ({ snapshot: { record, table: 'public.t', first: false, last: false, sink: null } });
const key = copyKey('public.t', null);

test('snapshots: a record counts once it is confirmed, or once an END that counts names it', async (t) => {
  const { reader, write } = await emptyLog(t);
  await write(topics.transaction, start(1, 'aa'));
  await write(topics.schema, copy('1'));
  assert.equal((await readSchemaState(reader, topics)).copies.size, 0, 'nothing confirms it');
  await write(topics.transaction, end('zz', at(1, 5n), confirms('1')));
  assert.equal((await readSchemaState(reader, topics)).copies.size, 0, 'the END of a zombie');
  await write(topics.transaction, end('aa', at(1, 5n), confirms('1')));
  assert.deepEqual((await readSchemaState(reader, topics)).copies.get(key), copy('1'));
  await write(topics.schema, copy('2'));
  assert.deepEqual((await readSchemaState(reader, topics)).copies.get(key), copy('1'));
  await write(topics.schema, copy('2', { confirmed: true }));
  assert.deepEqual((await readSchemaState(reader, topics)).copies.get(key), copy('2', { confirmed: true }));
});

test('snapshots: a record that was never confirmed does not come back over a later one, whichever way either is confirmed', async (t) => {
  const { reader, write } = await emptyLog(t);
  // A crash between the END of 1 and its confirmation; then the copy went on.
  await write(topics.transaction, start(1, 'aa'), end('aa', at(1, 5n), confirms('1')), start(2, 'bb'), end('bb', at(2, 7n), confirms('2')));
  await write(topics.schema, copy('1'), copy('2', { last: true }), copy('2', { last: true, confirmed: true }));
  assert.deepEqual((await readSchemaState(reader, topics)).copies.get(key), copy('2', { last: true, confirmed: true }));
});

test('snapshots: two records under way at once are confirmed in their order, as they are in a pipeline of groups', async (t) => {
  const { reader, write } = await emptyLog(t);
  await write(topics.transaction, start(1, 'aa'), end('aa', at(1, 5n), confirms('1')), end('aa', at(1, 6n), confirms('2')));
  await write(topics.schema, copy('1'), copy('2'), copy('1', { confirmed: true }));
  assert.deepEqual((await readSchemaState(reader, topics)).copies.get(key), copy('2'), 'the END of 2 is there, its confirmation is not');
  await write(topics.schema, copy('2', { confirmed: true }));
  assert.deepEqual((await readSchemaState(reader, topics)).copies.get(key), copy('2', { confirmed: true }));
});

test('snapshots: copies for all and for one sink stand beside each other', async (t) => {
  const { reader, write } = await emptyLog(t);
  await write(topics.schema, copy('1', { confirmed: true }), copy('2', { confirmed: true, sink: 'local', ask: 'x' }), copy('3', { confirmed: true, table: 'public.u' }));
  const { copies } = await readSchemaState(reader, topics);
  assert.deepEqual([...copies.values()].map(({ id }) => id), ['1', '2', '3']);
});
