import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insert, message, ScriptedSource } from '../support/scripted-source.ts';
import { Bench, tableOf } from './harness.ts';
import { ends } from './log-view.ts';

const items = tableOf('items', 2);

test('a logical message is an event of its transaction: END counts it with the rows, and sinks pass it over', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source, { sinks: ['local'] });
  await bench.start();
  const sink = await bench.replay('local');
  source.commit([message('outbox', 'first'), insert(items, ['1', 'a']), message('outbox', 'last')]);
  const alone = source.commit([message('outbox', 'alone')]);
  await bench.acknowledged(alone.endLsn);
  const parts = (await ends(await bench.reader())).slice(-2).map((end) => end.parts.map(({ topic, count, first, last }) => [topic, count, first, last]));
  assert.deepEqual(parts, [[['shop.message', 2, 0, 1], ['shop.public.items', 1, 0, 0]], [['shop.message', 1, 2, 2]]]);
  await sink.reaches(alone.endLsn);
  assert.deepEqual(sink.rows(items), [['1', 'a']]);
});

test('messages that the server sends again are not written again', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const one = source.commit([message('outbox', 'once')]);
  await bench.acknowledged(one.endLsn);
  // As after an unclean stop: the slot is behind what the log holds.
  source.server = { ...source.server, confirmedFlush: one.commitLsn - 1n };
  await bench.restart();
  const two = source.commit([message('outbox', 'twice')]);
  await bench.acknowledged(two.endLsn);
  assert.deepEqual(bench.publisher.writer.range('shop.message', 0), { start: 0, end: 2 });
});

test('the first message, whose topic is only then made, goes with the rows of its transaction into a group that is not sent yet', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  source.commit([insert(items, ['1', 'a'])]);
  const last = source.commit([insert(items, ['2', 'b']), message('outbox', 'first')]);
  await bench.start();
  await bench.acknowledged(last.endLsn);
  const [end] = (await ends(await bench.reader())).slice(-1);
  assert.deepEqual(end?.parts.map(({ topic, count }) => [topic, count]), [['shop.public.items', 1], ['shop.message', 1]]);
});
