import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TailraceError } from '../../src/runtime/errors.ts';
import { insert, ScriptedSource } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { Bench, tableOf } from './harness.ts';
import { ends } from './log-view.ts';

const items = tableOf('items', 2);
const mebibyte = 1 << 20;

/** Rows of a quarter of a MiB each. */
const rows = (count: number) => Array.from({ length: count }, (_, n) => insert(items, [`${n}`, 'z'.repeat(mebibyte / 4)]));

test('memory: while the log takes nothing, two groups are held and no more is read from the source, however large the transaction', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const gate = Promise.withResolvers<void>();
  t.after(() => gate.resolve());
  bench.log.before = () => gate.promise;
  const { endLsn } = source.commit(rows(100));
  const taken = (): number => bench.publisher.session?.counts.changes ?? 0;
  // A group on its way and a full one behind it: 1 MiB each.
  const held = 2 * 4;
  await eventually(() => taken() >= held, { what: 'two groups' });
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(taken(), held, 'rows of a quarter of a MiB');
  gate.resolve();
  await bench.acknowledged(endLsn);
  assert.equal(taken(), 100);
  const end = (await ends(bench.publisher.reader)).at(-1);
  assert.equal(end?.parts[0]?.count, 100);
});

test('groups: what comes while one is on its way is one group behind it, and each becomes durable in its turn', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const before = bench.log.appends.length;
  const gate = Promise.withResolvers<void>();
  t.after(() => gate.resolve());
  bench.log.before = (append) => (append === before ? gate.promise : undefined);
  source.commit([insert(items, ['0', 'x'])]);
  await eventually(() => bench.log.appends.length === before + 1);
  for (let n = 1; n <= 50; n++) source.commit([insert(items, [`${n}`, 'x'])]);
  await eventually(() => bench.publisher.session?.counts.transactions === 51);
  gate.resolve();
  await bench.acknowledged(source.lsn);
  assert.equal(bench.log.appends.length, before + 2, 'fifty transactions, one fdatasync');
});

test('groups: once the log has refused one, nothing more is handed over', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const before = bench.log.appends.length;
  bench.log.before = () => {
    throw new TailraceError('log-unwritable', 'scripted');
  };
  source.pieces = 1;
  source.commit(rows(60));
  const error = await bench.ended();
  assert.ok(error instanceof TailraceError && error.code === 'log-unwritable');
  assert.equal(bench.log.appends.length, before + 1);
});
