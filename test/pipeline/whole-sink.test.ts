import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { tupleTexts } from '../../src/event/tuple.ts';
import type { Sink, TableOperation } from '../../src/sink/sink.ts';
import { insert, rekey, remove, ScriptedSource, truncate, update } from '../support/scripted-source.ts';
import { Bench, tableOf, type BenchOptions } from './harness.ts';

/** A real sink that needs whole rows, or does not, and what it is handed. */
function wholeSink(bench: Bench, handed: string[], wholeRows = true, inCommitOrder = false): Sink {
  const { sink } = bench.sqlite();
  const told = (change: TableOperation): string =>
    change.op === 't' ? 't' : `${change.op} ${change.newAt < 0 ? '' : tupleTexts(change.bytes, change.newAt).map((text) => (text === undefined ? '~' : text)).join(' ')}`;
  return {
    wholeRows,
    inCommitOrder,
    check: (tables) => sink.check(tables),
    forget: () => sink.forget(),
    openVerifier: () => sink.openVerifier(),
    async open(options) {
      const session = await sink.open(options);
      const write = session.write.bind(session);
      session.write = (changes) => {
        handed.push(...changes.changes.map(told));
        return write(changes);
      };
      return session;
    },
  };
}

async function bench(t: TestContext, source: ScriptedSource, options: BenchOptions = {}): Promise<Bench> {
  const made = await Bench.open(t, source, { sinks: ['local'], ...options });
  await made.start();
  return made;
}

test('a sink that needs whole rows gets them, from one batch and from the log of an earlier life', async (t) => {
  const table = tableOf('t', 3);
  const full = tableOf('f', 3, { identity: 'full' });
  const source = new ScriptedSource([table, full]);
  const pipeline = await bench(t, source);
  const handed: string[] = [];
  const sink = wholeSink(pipeline, handed);
  source.commit([insert(table, ['1', 'a', 'long']), insert(table, ['2', 'b', 'wide']), insert(full, ['1', 'x', 'old'])]);
  source.commit([update(table, ['1', 'A', undefined]), rekey(table, ['2', null, null], ['3', 'c', undefined])]);
  await pipeline.settled();
  const first = await pipeline.replay('local', { sink });
  await first.reaches(source.lsn);
  await first.stop();
  source.commit([update(table, ['3', 'cc', undefined]), update(table, ['1', undefined, 'longer'])]);
  source.commit([update(full, ['1', 'y', undefined], ['1', 'x', 'old']), remove(table, ['1', null, null]), insert(table, ['1', 'again', 'new']), update(table, ['1', 'more', undefined])]);
  await pipeline.settled();
  const second = await pipeline.replay('local', { sink });
  await second.reaches(source.lsn);
  assert.deepEqual(handed, [
    'c 1 a long', 'c 2 b wide', 'u 1 A long', 'u 3 c wide', 'c 1 x old',
    'u 3 cc wide', 'u 1 A longer', 'd ', 'c 1 again new', 'u 1 more new', 'u 1 y old',
  ]);
  assert.deepEqual(second.rows(table), [['1', 'more', 'new'], ['3', 'cc', 'wide']]);
});

for (const inCommitOrder of [false, true]) {
  const order = inCommitOrder ? 'in commit order' : 'table by table';
  test(`behind a truncate nothing of before is taken for the row, and an update without its row is judged by what is copied, ${order}`, async (t) => {
    const table = tableOf('t', 2);
    const source = new ScriptedSource([table]);
    const pipeline = await bench(t, source);
    const handed: string[] = [];
    source.commit([insert(table, ['1', 'gone']), truncate(table), update(table, ['1', undefined])]);
    await pipeline.settled();
    const sink = await pipeline.replay('local', { sink: wholeSink(pipeline, handed, true, inCommitOrder) });
    await sink.reaches(source.lsn);
    // With `snapshot: never` the row may never have been here.
    assert.deepEqual(handed, ['c 1 gone', 't']);
    assert.equal(sink.replayer.progress.missing, 1);
  });

  test(`where the copy is complete and the log holds the row no longer, the sink stops and says so, ${order}`, async (t) => {
    const table = tableOf('t', 2);
    const source = new ScriptedSource([table]);
    source.commit([insert(table, ['1', 'long'])]);
    const pipeline = await bench(t, source, { snapshot: 'initial' });
    await pipeline.settled();
    const first = await pipeline.replay('local', { sink: wholeSink(pipeline, [], true, inCommitOrder) });
    await first.reaches(source.lsn);
    source.commit([truncate(table), update(table, ['1', undefined])]);
    assert.equal(((await first.ended()) as { code?: string }).code, 'row-incomplete');
  });
}

test('R15: a row that enters a row filter without its unchanged columns is never given NULLs: the sink stops and names it', async (t) => {
  const table = tableOf('t', 3);
  const source = new ScriptedSource([table]);
  source.commit([insert(table, ['1', 'a', 'long'])]);
  const pipeline = await bench(t, source, { snapshot: 'initial' });
  await pipeline.settled();
  const handed: string[] = [];
  const sink = await pipeline.replay('local', { sink: wholeSink(pipeline, handed, false) });
  await sink.reaches(source.lsn);
  // Its region has changed to the one that the filter lets through; what it has in c was not sent.
  source.commit([insert(table, ['2', 'b', undefined])]);
  const error = (await sink.ended()) as { readonly code?: string; readonly message: string };
  // As an update, which every sink lays over a row that must be there.
  assert.equal(handed.at(-1), 'u 2 b ~');
  assert.equal(error.code, 'sink-data');
  assert.match(error.message, /\(a\)=\(2\)/);
  assert.deepEqual(sink.rows(table), [['1', 'a', 'long']]);
});
