import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TailraceError } from '../../src/runtime/errors.ts';
import { apply, changes, insert, positionAt, rekey, remove, tableOf, update } from './sink-samples.ts';
import { openSession, sorted, type SinkHarness } from './sink.ts';

/** What can't be applied is an error that names the table and the key, and takes nothing else with it. */
export function sinkRefusalRules(harness: SinkHarness): void {
  const table = tableOf({ columns: [['id', 'integer'], ['name', 'text'], ['note', 'text']] });
  const { integer, text } = harness.types;
  const others = Array.from({ length: 300 }, (_, i) => insert(table, [String(1000 + i), 'other', null]));
  const missing = [
    { what: 'an update that lacks a column', change: update(table, ['7', 'g', undefined]) },
    { what: 'a key change that lacks a column', change: rekey(table, ['7', '', ''], ['8', 'g', undefined]) },
  ];

  for (const { what, change } of missing) {
    for (const amid of [[], others]) {
      test(`${what} and whose row is missing is an error in a complete table${amid.length === 0 ? '' : ', in a big batch'}`, async (t) => {
        const replica = await harness.replica(t);
        const session = await openSession(t, replica.sink());
        await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
        await assert.rejects(apply(session, positionAt(2), changes(table, [...amid, change])), (error) => {
          assert.ok(error instanceof TailraceError);
          assert.equal(error.code, 'sink-data');
          assert.match(error.message, /public\.people/);
          assert.match(error.message, /\b7\b/);
          return true;
        });
        await session.abort();
        assert.deepEqual(await replica.rows(table), [['1', 'a', 'x']]);
        assert.deepEqual(session.position, positionAt(1));
        await apply(session, positionAt(3), changes(table, [insert(table, ['2', 'b', 'y'])]));
      });

      test(`${what} and whose row is missing is passed over in a table that is being copied${amid.length === 0 ? '' : ', in a big batch'}`, async (t) => {
        const replica = await harness.replica(t);
        const session = await openSession(t, replica.sink());
        await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x']), change, ...amid], 'copying'));
        assert.equal(session.missing, 0);
        assert.equal((await replica.rows(table)).length, 1 + amid.length);
      });
    }
  }

  test('a row deleted in the same batch is missing for an update that lacks a column', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    for (const amid of [[], others]) {
      const list = [...amid, insert(table, ['7', 'g', 'x']), remove(table, ['7', '', '']), update(table, ['7', 'g', undefined])];
      await assert.rejects(apply(session, positionAt(2), changes(table, list)), { code: 'sink-data' });
      await session.abort();
    }
    assert.equal(session.position, null);
  });

  test('with snapshot never, what finds no row is counted, and a full update inserts', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink());
    const list = [update(table, ['1', 'a', 'x']), update(table, ['2', 'b', undefined]), remove(table, ['3', '', '']), rekey(table, ['4', '', ''], ['5', 'e', undefined])];
    await apply(session, positionAt(1), changes(table, list, 'partial'));
    assert.equal(session.missing, 3);
    assert.deepEqual(await replica.rows(table), [['1', 'a', 'x']]);
    await apply(session, positionAt(2), changes(table, [...others, ...list], 'partial'));
    assert.equal(session.missing, 6);
    assert.equal((await replica.rows(table)).length, 301);
  });

  for (const amid of [[], others]) {
    test(`a row that the replica refuses is named by table and key, and nothing of its transaction takes effect${amid.length === 0 ? '' : ', in a big batch'}`, async (t) => {
      const replica = await harness.replica(t);
      await replica.sql(`CREATE TABLE ${replica.name(table)} (id ${integer} PRIMARY KEY, name ${text}, note ${text} CHECK (note <> 'poison'))`);
      const session = await openSession(t, replica.sink());
      await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
      for (const poison of [insert(table, ['77', 'secret value', 'poison']), update(table, ['1', undefined, 'poison'])]) {
        const list = [update(table, ['1', 'A', undefined]), ...amid, poison, insert(table, ['99', 'z', 'z'])];
        await assert.rejects(apply(session, positionAt(2), changes(table, list)), (error) => {
          assert.ok(error instanceof TailraceError);
          assert.equal(error.code, 'sink-data');
          assert.match(error.message, /public\.people/);
          assert.match(error.message, poison.op === 'c' ? /\b77\b/ : /\b1\b/);
          assert.doesNotMatch(error.message, /secret|poison/);
          return true;
        });
        await session.abort();
        assert.deepEqual(await replica.rows(table), [['1', 'a', 'x']]);
      }
      await apply(session, positionAt(2), changes(table, [insert(table, ['2', 'b', 'y'])]));
      assert.equal((await replica.rows(table)).length, 2);
    });
  }

  test('tryWrite gives the refusal back and the transaction goes on', async (t) => {
    const replica = await harness.replica(t);
    await replica.sql(`CREATE TABLE ${replica.name(table)} (id ${integer} PRIMARY KEY, name ${text}, note ${text} CHECK (note <> 'poison'))`);
    const session = await openSession(t, replica.sink());
    await session.begin(positionAt(1));
    assert.equal(await session.tryWrite(changes(table, [insert(table, ['1', 'a', 'x'])])), null);
    await session.write(changes(table, [insert(table, ['2', 'b', 'y'])]));
    const refusal = await session.tryWrite(changes(table, [insert(table, ['3', 'c', 'poison'])]));
    assert.ok(refusal instanceof TailraceError);
    assert.equal(refusal.code, 'sink-data');
    assert.equal(await session.tryWrite(changes(table, [update(table, ['1', 'A', undefined])])), null);
    const gone = await session.tryWrite(changes(table, [update(table, ['8', 'A', undefined])]));
    assert.ok(gone instanceof TailraceError);
    await session.block([{ table: 'public.people', key: '(3)', reason: refusal.message }]);
    await session.commit();
    assert.deepEqual(session.position, positionAt(1));
    assert.deepEqual(sorted(await replica.rows(table)), sorted([['1', 'A', 'x'], ['2', 'b', 'y']]));
    assert.equal(session.blocked.length, 1);
  });
}
