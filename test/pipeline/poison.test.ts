import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { formatLsn } from '../../src/event/lsn.ts';
import type { TableShape } from '../../src/event/table.ts';
import { BlockedKeys, changedKeys } from '../../src/pipeline/blocked-keys.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { armFailpoint } from '../../src/runtime/failpoint.ts';
import { insert, rekey, remove, ScriptedSource, truncate, update, type Written } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { changeOf } from '../contract/change-samples.ts';
import { Bench, tableOf, type RunningSink } from './harness.ts';
import { deadLetters } from './log-view.ts';

// Failpoints are for tests alone.
process.env['NODE_ENV'] = 'test';

const items = tableOf('items', 2);
const orders = tableOf('orders', 2);
const notes = tableOf('notes', 2, { key: [] });

/** A pipeline whose replica refuses every row that is `bad`. */
class Poisoned {
  readonly source: ScriptedSource;
  readonly bench: Bench;

  private constructor(source: ScriptedSource, bench: Bench) {
    this.source = source;
    this.bench = bench;
  }

  static async open(t: TestContext): Promise<Poisoned> {
    const source = new ScriptedSource([items, orders, notes]);
    const bench = await Bench.open(t, source, { sinks: ['local'] });
    const poisoned = new Poisoned(source, bench);
    poisoned.sql(
      `CREATE TABLE items (a TEXT PRIMARY KEY NOT NULL, b TEXT CHECK (b NOT LIKE 'bad%')); CREATE TABLE notes (a TEXT, b TEXT CHECK (b NOT LIKE 'bad%'))`,
    );
    await bench.start();
    return poisoned;
  }

  sql(text: string): void {
    const db = new DatabaseSync(this.bench.sqlite().path, { timeout: 5000 });
    db.exec(text);
    db.close();
  }

  sink(onError: 'stop' | 'dead-letter' = 'dead-letter'): Promise<RunningSink> {
    return this.bench.replay('local', { onError });
  }

  /** All of one replica transaction where the sink starts later. */
  commit(...changes: readonly Written[]): { readonly commitLsn: bigint; readonly endLsn: bigint } {
    return this.source.commit(changes);
  }

  async through(sink: RunningSink): Promise<void> {
    await sink.reaches(this.source.lsn);
  }

  /** Op, before, after and reason of each dead letter. */
  async letters(): Promise<readonly (readonly unknown[])[]> {
    return (await deadLetters(this.bench.publisher.reader, 'local')).map(({ op, before, after }) => [op, before, after]);
  }
}

test('poison: by default the sink stops in front of it with nothing of its transaction applied, and goes on once the replica is mended', async (t) => {
  const poisoned = await Poisoned.open(t);
  const first = await poisoned.sink('stop');
  poisoned.commit(insert(items, ['1', 'good']));
  await poisoned.through(first);
  const { position } = first.replayer.progress;
  poisoned.commit(insert(orders, ['1', 'of the same transaction']), insert(items, ['2', 'bad']));
  const error = await first.ended();
  assert.ok(error instanceof TailraceError && error.code === 'sink-data', String(error));
  assert.match(error.message, /public\.items/);
  assert.deepEqual(first.replayer.progress.position, position);
  assert.deepEqual([first.rows(items), first.rows(orders)], [[['1', 'good']], []]);
  assert.deepEqual(await poisoned.letters(), []);
  poisoned.sql('DROP TABLE items; CREATE TABLE items (a TEXT PRIMARY KEY NOT NULL, b TEXT); INSERT INTO items VALUES (1, \'good\')');
  const second = await poisoned.sink('stop');
  await poisoned.through(second);
  assert.deepEqual([second.rows(items), second.rows(orders)], [[['1', 'good'], ['2', 'bad']], [['1', 'of the same transaction']]]);
});

test('poison: a dead letter says what could not be applied, why, and of which event it is, whatever else came with it', async (t) => {
  const poisoned = await Poisoned.open(t);
  poisoned.commit(insert(items, ['1', 'good']));
  const refused = poisoned.commit(insert(orders, ['1', 'x']), insert(items, ['2', 'good']), insert(items, ['3', 'bad']), insert(items, ['4', 'good']));
  poisoned.commit(insert(items, ['5', 'good']));
  await poisoned.bench.acknowledged(poisoned.source.lsn);
  const sink = await poisoned.sink();
  await poisoned.through(sink);
  assert.deepEqual(sink.rows(items).map(([key]) => key), ['1', '2', '4', '5']);
  assert.deepEqual(sink.rows(orders), [['1', 'x']]);
  const [letter, ...more] = await deadLetters(poisoned.bench.publisher.reader, 'local');
  assert.deepEqual(more, []);
  const { reason, key, ...rest } = letter ?? assert.fail('no dead letter');
  assert.equal(key, '["3"]');
  assert.match(String(reason), /public\.items/);
  assert.doesNotMatch(String(reason), /bad/, 'a reason holds no values');
  const session = poisoned.bench.publisher.session ?? assert.fail('no session');
  assert.deepEqual(rest, {
    table: 'public.items', version: { epoch: 1, number: 1 }, op: 'c', startId: session.start.record.startId, epoch: 1, commitLsn: formatLsn(refused.commitLsn), ordinal: 2,
    oldKind: 'none', before: null, after: { a: '3', b: 'bad' },
  });
});

test('poison: what follows for a blocked key goes the same way, in every later life, and other keys go on', async (t) => {
  const poisoned = await Poisoned.open(t);
  let sink = await poisoned.sink();
  poisoned.commit(insert(items, ['1', 'bad']), insert(items, ['2', 'good']));
  await poisoned.through(sink);
  poisoned.commit(update(items, ['1', 'good now']), update(items, ['2', 'better']));
  await poisoned.through(sink);
  await sink.stop();
  sink = await poisoned.sink();
  assert.equal(sink.replayer.progress.blockedKeys, 1, 'it stands in the replica');
  poisoned.commit(remove(items, ['1', '']), insert(items, ['1', 'anew']), insert(items, ['3', 'good']));
  await poisoned.through(sink);
  assert.deepEqual(sink.rows(items), [['2', 'better'], ['3', 'good']]);
  assert.deepEqual((await poisoned.letters()).map(([op]) => op), ['c', 'u', 'd', 'c']);
  const reasons = (await deadLetters(poisoned.bench.publisher.reader, 'local')).map(({ reason }) => reason);
  assert.deepEqual(reasons.slice(1), Array.from({ length: 3 }, () => 'behind an earlier dead letter of its key'));
});

test('poison: a key change of a blocked key blocks the new key too, and one into a blocked key blocks the old one', async (t) => {
  const poisoned = await Poisoned.open(t);
  const sink = await poisoned.sink();
  poisoned.commit(insert(items, ['1', 'bad']), insert(items, ['5', 'good']), insert(items, ['6', 'good']));
  poisoned.commit(rekey(items, ['1', 'bad'], ['2', 'good']));
  poisoned.commit(update(items, ['2', 'later']));
  poisoned.commit(remove(items, ['2', '']), rekey(items, ['5', 'good'], ['2', 'moved in']), insert(items, ['5', 'behind it']));
  await poisoned.through(sink);
  assert.deepEqual(sink.rows(items), [['5', 'good'], ['6', 'good']], 'the row that moved away stays as it was: its going is a dead letter');
  assert.deepEqual((await poisoned.letters()).map(([op, , after]) => [op, (after as { a: string } | null)?.a]), [['c', '1'], ['u', '2'], ['u', '2'], ['d', undefined], ['u', '2'], ['c', '5']]);
  assert.equal(sink.replayer.progress.blockedKeys, 3);
});

test('poison: a truncate clears what is blocked, and what follows is applied', async (t) => {
  const poisoned = await Poisoned.open(t);
  let sink = await poisoned.sink();
  poisoned.commit(insert(items, ['1', 'bad']), insert(notes, ['1', 'bad']), insert(items, ['2', 'good']));
  poisoned.commit(truncate(items), insert(items, ['1', 'good']));
  await poisoned.through(sink);
  assert.deepEqual(sink.rows(items), [['1', 'good']]);
  assert.equal(sink.replayer.progress.blockedKeys, 1, 'the other table\'s stays');
  await sink.stop();
  sink = await poisoned.sink();
  assert.equal(sink.replayer.progress.blockedKeys, 1);
  poisoned.commit(update(items, ['1', 'better']));
  await poisoned.through(sink);
  assert.deepEqual(sink.rows(items), [['1', 'better']]);
});

test('poison: a table without a key is blocked whole, until it is truncated', async (t) => {
  const poisoned = await Poisoned.open(t);
  const sink = await poisoned.sink();
  poisoned.commit(insert(notes, ['1', 'good']), insert(notes, ['2', 'bad']), insert(notes, ['3', 'behind']), insert(items, ['1', 'good']));
  await poisoned.through(sink);
  assert.deepEqual([sink.rows(notes), sink.rows(items)], [[['1', 'good']], [['1', 'good']]]);
  const [, behind] = await deadLetters(poisoned.bench.publisher.reader, 'local');
  assert.equal(behind?.['reason'], 'behind an earlier dead letter of its table');
  poisoned.commit(truncate(notes), insert(notes, ['4', 'good']));
  await poisoned.through(sink);
  assert.deepEqual(sink.rows(notes), [['4', 'good']]);
  assert.equal(sink.replayer.progress.blockedKeys, 0);
});

test('poison: a truncate that the replica refuses is no dead letter: the sink stops, and nothing of its transaction is applied', async (t) => {
  const poisoned = await Poisoned.open(t);
  poisoned.sql(`CREATE TRIGGER no_delete BEFORE DELETE ON items BEGIN SELECT RAISE(ABORT, 'no'); END`);
  const sink = await poisoned.sink();
  poisoned.commit(insert(items, ['1', 'good']));
  await poisoned.through(sink);
  poisoned.commit(insert(orders, ['1', 'x']), truncate(items));
  const error = await sink.ended();
  assert.ok(error instanceof TailraceError && error.code === 'sink-data', String(error));
  assert.deepEqual([sink.rows(items), sink.rows(orders)], [[['1', 'good']], []]);
  assert.deepEqual(await poisoned.letters(), []);
  poisoned.sql('DROP TRIGGER no_delete');
  const again = await poisoned.sink();
  await poisoned.through(again);
  assert.deepEqual([again.rows(items), again.rows(orders)], [[], [['1', 'x']]]);
});

test('poison: a dead letter is durable before the position passes it, and a death in between gives it twice and the rest once', async (t) => {
  const poisoned = await Poisoned.open(t);
  const { publisher } = poisoned.bench;
  poisoned.commit(insert(notes, ['1', 'once']), insert(items, ['1', 'bad']));
  await poisoned.bench.acknowledged(poisoned.source.lsn);
  const order: string[] = [];
  armFailpoint('sink.rows_uncommitted:throw');
  t.after(() => armFailpoint(undefined));
  const dying = await poisoned.bench.replay('local', {
    onError: 'dead-letter',
    reporter: {
      append: async (kind, draft) => {
        await publisher.appendForSink('local', kind, draft);
        if (kind === 'dead-letter') order.push(`a letter with the replica at ${dying.replayer.progress.position?.commitLsn ?? 'nothing'}`);
      },
    },
  });
  assert.match(String(await dying.ended()), /failpoint sink.rows_uncommitted/);
  armFailpoint(undefined);
  assert.deepEqual(order, ['a letter with the replica at nothing']);
  assert.deepEqual(dying.rows(notes), []);
  const sink = await poisoned.sink();
  await poisoned.through(sink);
  assert.deepEqual(sink.rows(notes), [['1', 'once']]);
  const letters = await deadLetters(publisher.reader, 'local');
  assert.equal(letters.length, 2);
  assert.deepEqual(letters[0], letters[1], 'known by its identity for the same');
  assert.equal(sink.replayer.progress.blockedKeys, 1);
});

test('poison: what is not about a row is no dead letter', async (t) => {
  const poisoned = await Poisoned.open(t);
  const sink = await poisoned.bench.replay('local', { onError: 'dead-letter', sink: poisoned.bench.sqlite('local', { busyTimeout: '20ms' }).sink });
  poisoned.commit(insert(items, ['1', 'good']));
  await poisoned.through(sink);
  const holder = new DatabaseSync(sink.path);
  holder.exec('BEGIN IMMEDIATE');
  poisoned.commit(insert(items, ['2', 'good']));
  const error = await sink.ended();
  holder.close();
  assert.ok(error instanceof TailraceError && error.code === 'sink-unreachable', String(error));
  assert.deepEqual(await poisoned.letters(), []);
  await eventually(async () => {
    const again = await poisoned.sink();
    await poisoned.through(again);
    return again.rows(items).length === 2;
  });
});

test('poison: which keys a change touches, and which it blocks in its turn', () => {
  const table = { ...items, version: { epoch: 1, number: 1 } };
  const wide = { ...tableOf('wide', 3, { key: [1, 0] }), version: { epoch: 1, number: 1 } };
  const bare = { ...notes, version: { epoch: 1, number: 1 } };
  const cases: [TableShape, Parameters<typeof changeOf>[1], readonly (string | null)[]][] = [
    [table, { op: 'c', new: ['1', 'x'] }, ['["1"]']],
    [table, { op: 'd', old: ['1', null], oldKind: 'key' }, ['["1"]']],
    [table, { op: 'u', new: ['1', 'x'] }, ['["1"]']],
    [table, { op: 'u', old: ['1', null], oldKind: 'key', new: ['2', 'x'] }, ['["1"]', '["2"]']],
    [table, { op: 'u', old: ['1', 'w'], oldKind: 'full', new: ['1', 'x'] }, ['["1"]']],
    // A key that is out of line and did not change is not sent again, but for the old key.
    [table, { op: 'u', old: ['1', null], oldKind: 'key', new: [undefined, 'x'] }, ['["1"]']],
    [wide, { op: 'c', new: ['1', '2', 'x'] }, ['["2","1"]']],
    [wide, { op: 'u', old: ['1', '2', null], oldKind: 'key', new: [undefined, '3', 'x'] }, ['["2","1"]', '["3","1"]']],
    [bare, { op: 'c', new: ['1', 'x'] }, [null]],
  ];
  for (const [shape, change, keys] of cases) {
    const schema = { ...shape, version: { epoch: 1, number: 1 } };
    assert.deepEqual(changedKeys(schema, changeOf(schema, change)), keys, JSON.stringify(change));
  }
  const blocked = new BlockedKeys([{ table: 'public.items', key: '["1"]', reason: 'r' }]);
  assert.equal(blocked.reason(table, changeOf(table, { op: 'c', new: ['2', 'x'] })), null);
  assert.deepEqual(blocked.reason(table, changeOf(table, { op: 'u', old: ['1', null], oldKind: 'key', new: ['2', 'x'] }))?.blocks.map(({ key }) => key), ['["2"]']);
  assert.equal(blocked.reason(table, { op: 't' }), null);
  assert.equal(blocked.touches('public.orders'), false);
});
