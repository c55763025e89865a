import assert from 'node:assert/strict';
import { test } from 'node:test';
import { samePosition } from '../../src/event/position.ts';
import { actionFor } from '../../src/runtime/errors.ts';
import { apply, changes, insert, positionAt, tableOf } from './sink-samples.ts';
import { openSession, sorted, type SinkHarness } from './sink.ts';

/** PROTOCOL, Applying: the position stands in the replica, and moves with the rows or not at all. */
export function sinkPositionRules(harness: SinkHarness): void {
  const table = tableOf({ columns: [['id', 'integer'], ['name', 'text']] });

  test('a replica that never committed has no position; one that did has the one written, every field of it', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    assert.equal(session.position, null);
    const to = positionAt(2 ** 40, { epoch: 3, commitLsn: 0xffff_ffff_0000_0001n, within: { table: 'public.people', ordinal: 2 ** 33 }, offset: 77 });
    await apply(session, to, changes(table, [insert(table, ['1', 'a'])]));
    assert.deepEqual(session.position, to);
    await session.close();
    const next = await openSession(t, replica.sink());
    assert.deepEqual(next.position, to);
    await apply(next, positionAt(2 ** 40 + 1));
    assert.equal(next.position?.within, undefined);
  });

  test('a transaction without rows moves the position', async (t) => {
    const replica = await harness.replica(t);
    await apply(await openSession(t, replica.sink()), positionAt(1));
    assert.deepEqual((await openSession(t, replica.sink())).position, positionAt(1));
  });

  test('an abort leaves neither rows nor a position, and the session goes on', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
    assert.equal(await session.begin(positionAt(2)), 'open');
    await session.write(changes(table, [insert(table, ['2', 'b'])]));
    await session.abort();
    await session.abort();
    assert.deepEqual(session.position, positionAt(1));
    await apply(session, positionAt(3), changes(table, [insert(table, ['3', 'c'])]));
    assert.deepEqual(sorted(await replica.rows(table)), sorted([['1', 'a'], ['3', 'c']]));
  });

  test('a worker killed inside a transaction leaves nothing of it', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
    await session.begin(positionAt(2));
    await session.write(changes(table, Array.from({ length: 500 }, (_, i) => insert(table, [String(i + 10), 'lost']))));
    await replica.kill(session);
    const next = await openSession(t, replica.sink());
    assert.deepEqual(next.position, positionAt(1));
    assert.deepEqual(await replica.rows(table), [['1', 'a']]);
    await apply(next, positionAt(2), changes(table, [insert(table, ['2', 'b'])]));
    assert.deepEqual(sorted(await replica.rows(table)), sorted([['1', 'a'], ['2', 'b']]));
  });

  test('of two workers the one that finds another position than its own is fenced, and nothing of it takes effect', async (t) => {
    const replica = await harness.replica(t);
    const old = await openSession(t, replica.sink());
    await apply(old, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
    const successor = await openSession(t, replica.sink());
    await apply(successor, positionAt(2), changes(table, [insert(table, ['2', 'b'])]));
    await assert.rejects(apply(old, positionAt(2), changes(table, [insert(table, ['3', 'zombie'])])), { code: 'fenced' });
    await old.abort();
    assert.deepEqual(sorted(await replica.rows(table)), sorted([['1', 'a'], ['2', 'b']]));
    await apply(successor, positionAt(3), changes(table, [insert(table, ['4', 'd'])]));
  });

  test('of two workers that come first only one commits', async (t) => {
    const replica = await harness.replica(t);
    const one = await openSession(t, replica.sink());
    const two = await openSession(t, replica.sink());
    await apply(one, positionAt(1), changes(table, [insert(table, ['1', 'one'])]));
    await assert.rejects(apply(two, positionAt(1), changes(table, [insert(table, ['1', 'two'])])), { code: 'fenced' });
    assert.deepEqual(await replica.rows(table), [['1', 'one']]);
  });

  test('sinks of different names have positions of their own', async (t) => {
    const replica = await harness.replica(t);
    await apply(await openSession(t, replica.sink({ sink: 'one' })), positionAt(1));
    const two = await openSession(t, replica.sink({ sink: 'two' }));
    assert.equal(two.position, null);
    await apply(two, positionAt(9));
    assert.deepEqual((await openSession(t, replica.sink({ sink: 'one' }))).position, positionAt(1));
  });

  test('forget removes the position and leaves the rows', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
    await session.begin(positionAt(2));
    await session.block([{ table: 'public.people', key: '(7)', reason: 'no' }]);
    await session.commit();
    await session.close();
    await replica.sink().forget();
    assert.deepEqual(await replica.rows(table), [['1', 'a']]);
    const next = await openSession(t, replica.sink());
    assert.equal(next.position, null);
    assert.deepEqual(next.blocked, []);
  });

  test('blocked keys stand in the replica with the commit that blocked them, and not without it', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    const key = { table: 'public.people', key: '(7)', reason: 'refused' };
    const whole = { table: 'public.logs', key: null, reason: 'no key' };
    await session.begin(positionAt(1));
    await session.block([{ ...key, key: '(8)' }]);
    await session.abort();
    assert.deepEqual(session.blocked, []);
    await session.begin(positionAt(1));
    await session.block([key, whole]);
    await session.block([{ ...key, reason: 'again' }]);
    await session.commit();
    const byTable = (a: { table: string }, b: { table: string }): number => (a.table < b.table ? -1 : 1);
    assert.deepEqual([...session.blocked].toSorted(byTable), [whole, { ...key, reason: 'again' }]);
    const next = await openSession(t, replica.sink());
    assert.deepEqual([...next.blocked].toSorted(byTable), [whole, { ...key, reason: 'again' }]);
    await next.begin(positionAt(2));
    await next.unblock('public.people');
    await next.commit();
    assert.deepEqual(next.blocked, [whole]);
    assert.deepEqual((await openSession(t, replica.sink())).blocked, [whole]);
  });

  test('a commit whose answer was lost takes effect once: a new session stands behind it', async (t) => {
    const replica = await harness.replica(t);
    if (replica.deaf === undefined) return t.skip('a commit of this sink is always answered');
    const { sink, spoil, heal } = await replica.deaf();
    const session = await openSession(t, sink);
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
    spoil();
    await assert.rejects(
      apply(session, positionAt(2), changes(table, [insert(table, ['2', 'b'])])),
      (error) => actionFor(error) === 'retry',
    );
    heal();
    const next = await openSession(t, sink);
    assert.deepEqual(next.position, positionAt(2));
    assert.deepEqual(sorted(await replica.rows(table)), sorted([['1', 'a'], ['2', 'b']]));
  });

  test('a commit whose answer was lost is found applied when the same session begins it again', async (t) => {
    const replica = await harness.replica(t);
    if (replica.deaf === undefined) return t.skip('a commit of this sink is always answered');
    const { sink, spoil, heal } = await replica.deaf();
    const session = await openSession(t, sink);
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
    spoil();
    await assert.rejects(apply(session, positionAt(2), changes(table, [insert(table, ['2', 'b'])])));
    heal();
    await session.abort();
    assert.equal(await session.begin(positionAt(2)), 'applied');
    assert.ok(samePosition(session.position, positionAt(2)));
    await apply(session, positionAt(3), changes(table, [insert(table, ['3', 'c'])]));
    assert.deepEqual(sorted(await replica.rows(table)), sorted([['1', 'a'], ['2', 'b'], ['3', 'c']]));
  });
}
