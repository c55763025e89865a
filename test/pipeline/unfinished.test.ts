import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { TailraceError } from '../../src/runtime/errors.ts';
import { insert, ScriptedSource, update, type Written } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { Bench, tableOf, type RunningSink } from './harness.ts';
import { deadLetters } from './log-view.ts';
import { watched } from './watched-sink.ts';

const items = tableOf('items', 2);
/** Without a key: what is written twice is there twice. */
const notes = tableOf('notes', 2, { key: [] });
const each = 600;

/** 12 MB in two tables, the first row of which is changed at the very end. */
function large(): Written[] {
  const rows = Array.from({ length: each }, (_, n) => [items, notes].map((table) => insert(table, [`${n}`, 'x'.repeat(10_000)])));
  return [...rows.flat(), update(items, ['0', 'changed'])];
}

interface Halfway {
  readonly source: ScriptedSource;
  readonly bench: Bench;
  readonly sink: RunningSink;
  /** What the sink did at the replica. */
  readonly calls: string[];
  readonly endLsn: bigint;
  readonly goOn: () => void;
}

interface Setting {
  readonly onError?: 'stop' | 'dead-letter';
  readonly changes?: readonly Written[];
  readonly prepare?: (replica: DatabaseSync) => void;
  readonly until?: (calls: readonly string[]) => boolean;
}

const half = (calls: readonly string[]): boolean => [items, notes].every(({ name }) => written(calls, name) >= each / 2);

/** The source has sent 9 MB of the large transaction and waits; the sink has written of it what it could. */
async function halfway(t: TestContext, { onError = 'stop', changes = large(), prepare, until = half }: Setting = {}): Promise<Halfway> {
  const source = new ScriptedSource([items, notes]);
  const bench = await Bench.open(t, source, { sinks: ['local'] });
  const local = bench.sqlite();
  if (prepare !== undefined) {
    const replica = new DatabaseSync(local.path);
    prepare(replica);
    replica.close();
  }
  await bench.start();
  const calls: string[] = [];
  const sink = await bench.replay('local', { sink: watched(local.sink, calls), onError });
  await sink.reaches(source.commit([insert(items, ['before', 'x']), insert(notes, ['before', 'x'])]).endLsn);
  calls.length = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  t.after(() => resolve());
  source.pieces = 100;
  let sent = 0;
  source.onDeliver = (piece) => ((sent += piece.length) > 900 ? promise : undefined);
  const { endLsn } = source.commit(changes);
  await eventually(() => until(calls), { what: 'the first half at the replica' });
  return { source, bench, sink, calls, endLsn, goOn: resolve };
}

function written(calls: readonly string[], table: string): number {
  return calls.reduce((sum, call) => sum + (call.startsWith(`${table} `) ? Number(call.split(' ')[1]) : 0), 0);
}

/** Each row once, and the last change of the first one. */
function assertWhole(sink: RunningSink): void {
  const [first] = sink.rows(items);
  assert.deepEqual(first, ['0', 'changed']);
  assert.deepEqual([items, notes].map((table) => sink.rows(table).length), [each + 1, each + 1]);
}

/** Waits until somebody else can write to the replica, who could not before. */
async function unlocked(t: TestContext, sink: RunningSink): Promise<void> {
  const beside = new DatabaseSync(sink.path);
  t.after(() => beside.close());
  await eventually(() => {
    beside.exec('BEGIN IMMEDIATE; ROLLBACK');
    return true;
  }, { what: 'the lock' });
}

function assertNothing(sink: RunningSink): void {
  assert.deepEqual([sink.rows(items), sink.rows(notes)], [[['before', 'x']], [['before', 'x']]]);
}

test('PROGRESS: a large transaction is written while it is still being captured, and is seen once its END is there, whole', async (t) => {
  const { sink, calls, endLsn, goOn } = await halfway(t);
  assertNothing(sink);
  const beside = new DatabaseSync(sink.path);
  assert.throws(() => beside.exec('BEGIN IMMEDIATE'), /locked/, 'its transaction is open');
  beside.close();
  assert.equal(sink.replayer.progress.applied, 2, 'what is not committed is not shown as done');
  goOn();
  await sink.reaches(endLsn);
  assertWhole(sink);
  assert.deepEqual([written(calls, 'items'), written(calls, 'notes')], [each + 1, each], 'nothing is written twice');
  assert.deepEqual(calls.filter((call) => call === 'begin' || call === 'commit'), ['begin', 'commit']);
  assert.equal(sink.replayer.progress.applied, 2 + 2 * each + 1);
});

test('PROGRESS: what comes behind such a transaction follows, and a sink that is begun again stands behind it', async (t) => {
  const { sink, bench, source, goOn } = await halfway(t);
  goOn();
  await sink.reaches(source.commit([insert(items, ['behind', 'x'])]).endLsn);
  assert.equal(await sink.stop(), null);
  const next = await bench.replay('local');
  await next.reaches(source.commit([insert(items, ['last', 'x'])]).endLsn);
  assert.deepEqual([next.rows(items).length, next.rows(notes).length], [each + 3, each + 1]);
});

test('PROGRESS: a sink that stops in the middle leaves nothing, and the next one takes the transaction whole', async (t) => {
  const { sink, bench, endLsn, goOn } = await halfway(t);
  assert.equal(await sink.stop(), null);
  assertNothing(sink);
  goOn();
  const next = await bench.replay('local');
  await next.reaches(endLsn);
  assertWhole(next);
});

test('PROGRESS: of a publisher that loses its source in the middle nothing stays; the transaction comes again under the next START', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  const { sink, bench, source, endLsn, calls, goOn } = await halfway(t);
  source.lose();
  goOn();
  const lost = await bench.ended();
  assert.ok(lost instanceof TailraceError && lost.code === 'source-unreachable', String(lost));
  source.lostAfter = null;
  source.deliver(1);
  await bench.start();
  await unlocked(t, sink);
  source.deliver();
  await sink.reaches(endLsn);
  assertWhole(sink);
  assert.deepEqual(calls.filter((call) => call === 'commit').length, 1);
});

test('PROGRESS: a transaction of which nothing more comes is given up, and holds no lock at the replica', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  const { sink, bench, endLsn, calls, goOn } = await halfway(t);
  t.mock.timers.setTime(1_000_000 + 5001);
  await unlocked(t, sink);
  let looks = 0;
  bench.log.onFetch = (topic) => void (topic === 'shop.transaction' && looks++);
  await eventually(() => looks > 2, { what: 'the sink to look again' });
  assert.deepEqual(calls.filter((call) => call === 'begin').length, 1, 'it is not begun with again before its END');
  goOn();
  await sink.reaches(endLsn);
  assertWhole(sink);
});

test('PROGRESS: what the replica refuses is taken aside when the transaction is taken whole, and nothing is in the way of the rest', async (t) => {
  const { sink, bench, endLsn, goOn } = await halfway(t, {
    onError: 'dead-letter', changes: [insert(items, ['poison', 'bad']), ...large()],
    // The replica's own constraint.
    prepare: (db) => db.exec(`CREATE TABLE items (a TEXT PRIMARY KEY NOT NULL, b TEXT CHECK (b <> 'bad'))`),
    until: (calls) => calls.includes('begin'),
  });
  goOn();
  await sink.reaches(endLsn);
  assertWhole(sink);
  assert.deepEqual((await deadLetters(bench.publisher.reader, 'local')).map(({ after }) => after), [{ a: 'poison', b: 'bad' }]);
});
