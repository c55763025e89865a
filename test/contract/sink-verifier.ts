import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { rowText } from '../../src/event/row-text.ts';
import type { TableSchema } from '../../src/event/table.ts';
import { shortMd5 } from '../../src/runtime/md5.ts';
import type { Sink } from '../../src/sink/sink.ts';
import type { ReplicaView, SinkVerifier } from '../../src/sink/verifier.ts';
import type { Texts } from './change-samples.ts';
import { openSession, type SinkHarness } from './sink.ts';
import { apply, changes, insert, positionAt, tableOf } from './sink-samples.ts';

async function verifierOf(t: TestContext, sink: Sink): Promise<SinkVerifier> {
  const verifier = await sink.openVerifier();
  t.after(() => verifier.close());
  return verifier;
}

async function viewOf(verifier: SinkVerifier, table: TableSchema): Promise<ReplicaView> {
  const view = await verifier.table(table);
  assert.ok(view, `${table.name} is there`);
  return view;
}

const hash = (row: Texts): string => shortMd5(rowText(row as (string | null)[]));
const everything = { of: 1, buckets: [0] };

/** src/sink/verifier.ts, and event/digest.ts over a replica. */
export function sinkVerifierRules(harness: SinkHarness): void {
  test('a replica that was never written has no tables and no blocked keys, and looking at it makes nothing', async (t) => {
    const replica = await harness.replica(t);
    const verifier = await verifierOf(t, replica.sink());
    assert.equal(await verifier.table(tableOf({ columns: [['id', 'integer']] })), null);
    assert.deepEqual(await verifier.blocked(), []);
  });

  test('rows are told by the hashes of the source’s texts, whatever the replica holds them as', async (t) => {
    const replica = await harness.replica(t);
    const table = tableOf({ columns: [['id', 'bigint'], ['ok', 'boolean'], ['raw', 'bytea'], ['f', 'double precision'], ['n', 'numeric'], ['x', 'text']] });
    const rows: Texts[] = [
      ['1', 't', '\\x00ff', '1e+20', '1.10', 'a,"b\\'], ['2', 'f', '\\x', '-0', 'NaN', ''], ['9007199254740993', null, null, null, null, null], ['-4', 't', '\\x61', '0.1', '0.00', 'NULL'],
    ];
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(table, rows.map((row) => insert(table, row))));
    const view = await viewOf(await verifierOf(t, replica.sink()), table);
    assert.deepEqual([view.columns, view.missing], [[0, 1, 2, 3, 4, 5], []]);
    assert.deepEqual(new Map(await view.digests.rows(everything)), new Map(rows.map((row) => [JSON.stringify([row[0]]), hash(row)])));
    const { counts, sums } = await view.digests.buckets(1);
    assert.deepEqual([counts[0], sums[0]], [4, BigInt.asUintN(64, rows.reduce((sum, row) => sum + BigInt(`0x${hash(row)}`), 0n))]);
    const looked = await view.digests.look(['["2"]', '["3"]']);
    assert.deepEqual(new Map(looked), new Map([['["2"]', (rows[1] as string[]).map(shortMd5).join(',')]]));
  });

  test('equal rows without a key are counted', async (t) => {
    const replica = await harness.replica(t);
    const table = tableOf({ columns: [['a', 'integer'], ['b', 'text']], key: [] });
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(table, [['1', 'x'], ['1', 'x'], ['1', null]].map((row) => insert(table, row))));
    const { digests } = await viewOf(await verifierOf(t, replica.sink()), table);
    const expected = new Map([[hash(['1', 'x']), '2'], [hash(['1', null]), '1']]);
    assert.deepEqual(new Map(await digests.rows(everything)), expected);
    assert.deepEqual(new Map(await digests.look([...expected.keys(), hash(['2', 'x'])])), expected);
  });

  test('a table is found under its name at the replica; a column that is left out is not compared, one that is gone is missing', async (t) => {
    const replica = await harness.replica(t);
    const settings = { rename: { 'public.people': 'persons' }, leftOut: { 'public.people': ['secret'] } };
    const table = tableOf({ columns: [['id', 'integer'], ['secret', 'text'], ['x', 'text'], ['y', 'text']] });
    const session = await openSession(t, replica.sink(settings));
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 's', 'a', 'b'])]));
    await replica.sql(`ALTER TABLE ${replica.name(table, 'persons')} DROP COLUMN x`);
    const view = await viewOf(await verifierOf(t, replica.sink(settings)), table);
    assert.match(view.name, /persons$/);
    assert.deepEqual([view.columns, view.missing], [[0, 3], [2]]);
    assert.deepEqual(new Map(await view.digests.rows(everything)), new Map([['["1"]', hash(['1', 'b'])]]));
  });

  test('it reads what is committed while the worker has a transaction open, and keeps nobody waiting', async (t) => {
    const replica = await harness.replica(t);
    const table = tableOf({ columns: [['id', 'integer'], ['x', 'text']] });
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
    await session.begin(positionAt(2));
    await session.write(changes(table, [insert(table, ['2', 'b'])]));
    const { digests } = await viewOf(await verifierOf(t, replica.sink()), table);
    assert.deepEqual([...(await digests.rows(everything)).keys()], ['["1"]']);
    await session.commit();
    assert.deepEqual([...(await digests.look(['["1"]', '["2"]'])).keys()].toSorted(), ['["1"]', '["2"]']);
  });

  test('each look shows what is committed by then, although a scan that began before is not over', async (t) => {
    const replica = await harness.replica(t);
    const table = tableOf({ columns: [['id', 'integer'], ['x', 'text']] });
    const session = await openSession(t, replica.sink());
    await apply(session, positionAt(1), changes(table, Array.from({ length: 12_000 }, (_, i) => insert(table, [String(i), 'a']))));
    const { digests } = await viewOf(await verifierOf(t, replica.sink()), table);
    const scan = digests.buckets(16);
    await apply(session, positionAt(2), changes(table, [insert(table, ['-1', 'b'])]));
    assert.equal((await digests.look(['["-1"]'])).size, 1);
    await scan;
  });

  test('a replica that is made later is found', async (t) => {
    const replica = await harness.replica(t);
    const table = tableOf({ columns: [['id', 'integer']] });
    const verifier = await verifierOf(t, replica.sink());
    assert.equal(await verifier.table(table), null);
    await apply(await openSession(t, replica.sink()), positionAt(1), changes(table, [insert(table, ['1'])]));
    assert.ok(await verifier.table(table));
  });

  test('blocked keys are this sink’s alone', async (t) => {
    const replica = await harness.replica(t);
    const session = await openSession(t, replica.sink({ sink: 'one' }));
    await session.begin(positionAt(1));
    await session.block([{ table: 'public.people', key: '["7"]', reason: 'refused' }, { table: 'public.bags', key: null, reason: 'refused' }]);
    await session.commit();
    const [one, two] = [await verifierOf(t, replica.sink({ sink: 'one' })), await verifierOf(t, replica.sink({ sink: 'two' }))];
    assert.deepEqual((await one.blocked()).map(({ table, key }) => [table, key]).toSorted((a, b) => String(a[0]).localeCompare(String(b[0]))), [['public.bags', null], ['public.people', '["7"]']]);
    assert.deepEqual(await two.blocked(), []);
  });
}
