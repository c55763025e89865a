import assert from 'node:assert/strict';
import { copyFile, rm } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { isAfter } from '../../src/event/position.ts';
import { tableName, type TableShape } from '../../src/event/table.ts';
import { decodeControl } from '../../src/pipeline/control-json.ts';
import { origin, type Place, type SinkRecord } from '../../src/pipeline/control-records.ts';
import { readPosition } from '../../src/sink/sqlite/bookkeeping.ts';
import { insert, ScriptedSource } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { Bench, sqliteRows, tableOf, type RunningSink } from './harness.ts';
import { ends, sinkRecords } from './log-view.ts';
import { watched } from './watched-sink.ts';

const items = tableOf('items', 2);
const orders = tableOf('orders', 2);
const only = (table: TableShape) => ({ include: [tableName(table)], exclude: [] });

async function settingOf(t: TestContext): Promise<{ source: ScriptedSource; bench: Bench }> {
  const source = new ScriptedSource([items, orders]);
  const bench = await Bench.open(t, source, { sinks: ['local'] });
  await bench.start();
  return { source, bench };
}

/** The place in which the replica itself says that it is, by a look beside the sink. */
function storedPlace(path: string): Place {
  const db = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
  try {
    return readPosition(db, 'shop.local') ?? origin;
  } finally {
    db.close();
  }
}

test('the replayer: many source transactions share one at the replica, table by table, and none is ever split', async (t) => {
  const { source, bench } = await settingOf(t);
  for (let n = 0; n < 300; n++) source.commit([insert(items, [`${n}`, 'x']), insert(orders, [`${n}`, 'x']), insert(items, [`${n}b`, 'x'])]);
  await bench.acknowledged(source.lsn);
  const calls: string[] = [];
  const { sink, path } = bench.sqlite();
  const seen = new Set<string>();
  const running = await bench.replay('local', { sink: watched(sink, calls, () => seen.add(`${sqliteRows(path, items).length} ${sqliteRows(path, orders).length}`)) });
  await running.reaches(source.lsn);
  assert.deepEqual(calls, ['begin', 'items 600', 'orders 300', 'commit']);
  assert.deepEqual([...seen], ['0 0'], 'nothing is seen before the commit');
  // While it is following they come as they are, each whole.
  for (let n = 300; n < 320; n++) {
    await running.reaches(source.commit([insert(items, [`${n}`, 'x']), insert(orders, [`${n}`, 'x'])]).endLsn);
    assert.equal(running.rows(items).length - 300, running.rows(orders).length);
  }
  assert.equal(running.rows(orders).length, 320);
});

test('the replayer: a transaction larger than a batch comes alone and in pieces, and is seen whole or not at all', async (t) => {
  const { source, bench } = await settingOf(t);
  source.commit([insert(items, ['before', 'x'])]);
  source.commit(Array.from({ length: 24 }, (_, n) => insert(n % 2 === 0 ? items : orders, [`${n}`, 'y'.repeat(400_000)])));
  source.commit([insert(items, ['behind', 'x'])]);
  await bench.acknowledged(source.lsn);
  const calls: string[] = [];
  const { sink, path } = bench.sqlite();
  const seen: string[] = [];
  const running = await bench.replay('local', { sink: watched(sink, calls, () => seen.push(`${sqliteRows(path, items).length} ${sqliteRows(path, orders).length}`)) });
  await running.reaches(source.lsn);
  const transactions = calls.join(',').split('begin,').slice(1);
  assert.equal(transactions.length, 3, calls.join());
  assert.ok((transactions[1]?.split(',').length ?? 0) > 6, 'in pieces');
  assert.deepEqual(new Set(seen.slice(1, -1)), new Set(['1 0']), 'none of it is seen while it is written');
  assert.deepEqual([running.rows(items).length, running.rows(orders).length], [14, 12]);
});

test('the replayer: the position moves over transactions that hold nothing for the sink, after a few seconds, with the next batch, or at the end', { timeout: 30_000 }, async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  const { source, bench } = await settingOf(t);
  const positionOf = (sink: RunningSink): bigint | undefined => sink.replayer.progress.position?.commitLsn;
  const sink = await bench.replay('local', { filter: only(items) });
  const first = source.commit([insert(items, ['1', 'x'])]);
  await sink.reaches(first.endLsn);
  const passed = source.commit([insert(orders, ['1', 'x'])]);
  await sink.reaches(passed.endLsn);
  assert.equal(positionOf(sink), first.commitLsn, 'not at once');
  t.mock.timers.setTime(1_000_000 + 3001);
  await eventually(() => positionOf(sink) === passed.commitLsn);
  assert.equal(storedPlace(sink.path).commitLsn, passed.commitLsn);
  // With the next batch.
  await sink.reaches(source.commit([insert(orders, ['2', 'x'])]).endLsn);
  const next = source.commit([insert(items, ['2', 'x'])]);
  await sink.reaches(next.endLsn);
  assert.equal(positionOf(sink), next.commitLsn);
  // At the end.
  const last = source.commit([insert(orders, ['3', 'x'])]);
  await sink.reaches(last.endLsn);
  assert.equal(positionOf(sink), next.commitLsn);
  assert.equal(await sink.stop(), null);
  assert.equal(positionOf(sink), last.commitLsn);
});

test('the replayer: what a sink reports is never ahead of its replica', { timeout: 60_000 }, async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  const { source, bench } = await settingOf(t);
  const { publisher } = bench;
  const reported: bigint[] = [];
  const sink = await bench.replay('local', {
    filter: only(items),
    reporter: {
      append: async (kind, draft) => {
        const record = decodeControl<SinkRecord>({ bytes: draft.value, start: 0, end: draft.value.length }, 'the report');
        if (record.type === 'position') {
          assert.ok(!isAfter(record, storedPlace(sink.path)), 'the replica is not there yet');
          reported.push(record.commitLsn);
        }
        await publisher.appendForSink('local', kind, draft);
      },
    },
  });
  for (let n = 1; n <= 40; n++) {
    t.mock.timers.setTime(1_000_000 + n * 700);
    await sink.reaches(source.commit([insert(n % 3 === 0 ? items : orders, [`${n}`, 'x'])]).endLsn);
  }
  assert.equal(await sink.stop(), null);
  assert.ok(reported.length > 5, `${reported.length}`);
  const said = (await sinkRecords(publisher.reader, 'local')).filter((record) => record.type === 'position');
  assert.deepEqual(said.map(({ commitLsn }) => commitLsn), reported);
  const all = await ends(publisher.reader);
  for (const { offset, commitLsn, epoch } of said) {
    const at = all.find((end) => end.at === offset);
    assert.deepEqual([at?.epoch, at?.commitLsn], [epoch, commitLsn], 'it stands at an END');
  }
});

test('the replayer: it says where it is before it stops, whenever it said so last; a log that does not answer holds up no stop', { timeout: 30_000 }, async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  const { source, bench } = await settingOf(t);
  const { publisher } = bench;
  const said = async (): Promise<readonly bigint[]> =>
    (await sinkRecords(publisher.reader, 'local')).filter((record) => record.type === 'position').map(({ commitLsn }) => commitLsn);
  let sink = await bench.replay('local');
  const first = source.commit([insert(items, ['1', 'x'])]);
  await sink.reaches(first.endLsn);
  const second = source.commit([insert(items, ['2', 'x'])]);
  await sink.reaches(second.endLsn);
  assert.ok(!(await said()).includes(second.commitLsn), 'by the clock it is too early');
  assert.equal(await sink.stop(), null);
  assert.equal((await said()).at(-1), second.commitLsn);
  // In the middle of a batch: where it stands is before it.
  const third = source.commit([insert(items, ['3', 'x'])]);
  sink = await bench.replay('local', {
    sink: watched(bench.sqlite().sink, [], () => {
      if (source.lsn === third.endLsn) return;
      void sink.stop();
      throw new Error('the replica went away');
    }),
  });
  await sink.reaches(third.endLsn);
  const fourth = source.commit([insert(items, ['4', 'x'])]);
  assert.match(String(await sink.ended()), /went away/);
  assert.equal((await said()).at(-1), third.commitLsn);
  // The log went away after it had said so once.
  const alive = setInterval(() => {}, 1000);
  t.after(() => clearInterval(alive));
  let isAway = false;
  sink = await bench.replay('local', { reporter: { append: (kind, draft) => (isAway ? new Promise(() => {}) : publisher.appendForSink('local', kind, draft)) } });
  await sink.reaches(source.lsn);
  await eventually(async () => (await said()).at(-1) === fourth.commitLsn);
  isAway = true;
  await sink.reaches(source.commit([insert(items, ['5', 'x'])]).endLsn);
  assert.equal(await sink.stop(), null);
});

test('the replayer: a replica that was put back from a copy of its own is brought forward from there, each event once', async (t) => {
  const notes = tableOf('notes', 2, { key: [] });
  const source = new ScriptedSource([items, notes]);
  const bench = await Bench.open(t, source, { sinks: ['local'] });
  await bench.start();
  let sink = await bench.replay('local');
  await sink.reaches(source.commit([insert(items, ['1', 'x']), insert(notes, ['1', 'twin'])]).endLsn);
  await sink.stop();
  await copyFile(sink.path, `${sink.path}.copy`);
  sink = await bench.replay('local');
  for (let n = 2; n <= 5; n++) await sink.reaches(source.commit([insert(items, [`${n}`, 'x']), insert(notes, ['1', 'twin'])]).endLsn);
  await sink.stop();
  for (const suffix of ['-wal', '-shm']) await rm(sink.path + suffix, { force: true });
  await copyFile(`${sink.path}.copy`, sink.path);
  assert.equal(sink.rows(notes).length, 1, 'it is back where it was');
  sink = await bench.replay('local');
  await sink.reaches(source.lsn);
  assert.deepEqual([sink.rows(items).length, sink.rows(notes).length], [5, 5]);
});
