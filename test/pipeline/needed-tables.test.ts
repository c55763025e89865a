import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TailraceError } from '../../src/runtime/errors.ts';
import { insert, ScriptedSource } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { Bench, tableOf } from './harness.ts';

const [orders, late] = [tableOf('orders', 2), tableOf('late', 2)];

test('who reads a table that is not captured waits for it and says so, with nothing taken; once it was there, it does not ask again', async (t) => {
  const source = new ScriptedSource([orders]);
  const bench = await Bench.open(t, source, { sinks: ['local'] });
  await bench.start();
  const needs = ['public.orders', 'public.late'];
  const waiting = await bench.replay('local', { needs });
  source.commit([insert(orders, ['1', 'one'])]);
  const error = await waiting.ended();
  assert.ok(error instanceof TailraceError && error.code === 'table-not-captured', String(error));
  assert.match(error.message, /public\.late is read, which is not captured/);
  assert.deepEqual(waiting.rows(orders), []);
  await bench.disconnect();
  source.tables = [orders, late];
  await bench.start();
  const replica = await bench.replay('local', { needs });
  await eventually(() => replica.rows(orders).length === 1, { what: 'the row from before' });
  // It goes, and nothing of it was ever written: what is read behind a position was there once.
  await bench.disconnect();
  source.tables = [orders];
  await bench.start();
  source.commit([insert(orders, ['2', 'two'])]);
  await eventually(() => replica.rows(orders).length === 2, { what: 'the row from afterwards' });
  assert.equal(await replica.stop(), null);
});
