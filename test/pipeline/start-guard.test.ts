import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StartGuard } from '../../src/pipeline/start-guard.ts';
import { at, end, origin, start, startA, startB, WrittenLog } from './written-log.ts';

const topic = 'shop.transaction';
const mine = start(4, startA);
const taken = { code: 'lead-lost' };

async function guarded(log: WrittenLog): Promise<StartGuard> {
  await log.write(topic, mine);
  return new StartGuard(log.reader, topic, { start: mine, offset: 0 });
}

test('START: a publisher whose records stand one behind the other need not look', async (t) => {
  const log = await WrittenLog.open(t);
  const guard = await guarded(log);
  await log.reader.close();
  await guard.written({ first: 1, last: 3, count: 3 }, null);
  await guard.written({ first: 4, last: 4, count: 1 }, null);
});

test('START: a publisher that finds another\'s valid START in front of its own records gives up', async (t) => {
  const log = await WrittenLog.open(t);
  const guard = await guarded(log);
  await log.write(topic, start(5, startB), end(startA, at(4, 0x10n), origin));
  await assert.rejects(guard.written({ first: 2, last: 2, count: 1 }, null), taken);
});

test('START: one that stands in the middle of what was written is found, too', async (t) => {
  const log = await WrittenLog.open(t);
  const guard = await guarded(log);
  await log.write(topic, end(startA, at(4, 0x10n), origin), start(5, startB), end(startA, at(4, 0x20n), at(4, 0x10n)));
  await assert.rejects(guard.written({ first: 1, last: 3, count: 2 }, null), taken);
});

test('START: what a publisher that was replaced still writes disturbs nobody', async (t) => {
  const log = await WrittenLog.open(t);
  const guard = await guarded(log);
  await log.write(topic, end(startB, at(3, 0x99n), origin), start(4, startB), end(startA, at(4, 0x10n), origin));
  await guard.written({ first: 3, last: 3, count: 1 }, null);
  await guard.written({ first: 4, last: 4, count: 1 }, null);
});

test('START: a renewed one behind another of the same epoch is void; in front of it, the other is', async (t) => {
  const log = await WrittenLog.open(t);
  const guard = await guarded(log);
  const renewed = start(5, 'aaaaaaaaaaaaaaaa');
  await log.write(topic, start(5, startB), renewed);
  await assert.rejects(guard.written({ first: 2, last: 2, count: 1 }, renewed), taken);
  const other = await WrittenLog.open(t);
  const ahead = await guarded(other);
  await other.write(topic, renewed, start(5, startB), end(renewed.startId, at(5, 0x10n), origin));
  await ahead.written({ first: 1, last: 1, count: 1 }, renewed);
  await ahead.written({ first: 3, last: 3, count: 1 }, null);
});
