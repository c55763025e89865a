import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TableShape, TableState } from '../../src/event/table.ts';
import { CapturedTables } from '../../src/pipeline/captured-tables.ts';
import { origin, type LookRecord, type SchemaTopicRecord, type SnapshotRecord, type StartRecord } from '../../src/pipeline/control-records.ts';
import { copyJobs } from '../../src/pipeline/copy-jobs.ts';
import { CopyOrders } from '../../src/pipeline/copy-orders.ts';
import { CopyRecords } from '../../src/pipeline/copy-records.ts';
import type { CopyJob } from '../../src/pipeline/copy.ts';
import { Target } from '../../src/pipeline/event-encoder.ts';
import type { Group } from '../../src/pipeline/group.ts';
import { copyKey, copyKeyOf } from '../../src/pipeline/log-state.ts';
import { SchemaVersions } from '../../src/pipeline/schema-versions.ts';
import { noCopy } from '../../src/pipeline/settled-copies.ts';
import type { Targets } from '../../src/pipeline/targets.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import type { TableLook } from '../../src/source/catalog.ts';
import { tableOf } from './harness.ts';

interface Captured {
  readonly tables: CapturedTables;
  readonly versions: SchemaVersions;
  readonly jobs: CopyJob[];
  /** What `schema` has of partitions. */
  readonly records: SchemaTopicRecord[];
  /** What `schema` has of copies: what a crash leaves. */
  readonly written: Map<string, SnapshotRecord>;
}

/** A state says of itself which partitions' rows are the table's, each in its only place. */
const find = (state: TableState, partition: string): string | null => ((state['holds'] as readonly string[]).includes(partition.replace(' there', '')) ? `${partition.replace(' there', '')} there` : null);

function captured(known: readonly TableShape[], snapshot: 'initial' | 'never' = 'initial'): Captured {
  const start: StartRecord = { type: 'start', logId: 'l', epoch: 1, startId: 's', systemIdentifier: '1', timeline: 1, slot: 'x', tables: [], continues: null, gap: null };
  const versions = new SchemaVersions();
  versions.enterEpoch(1);
  const written = new Map<string, SnapshotRecord>();
  if (snapshot === 'initial') for (const { name, relid } of known) written.set(copyKey(`public.${name}`, null), { ...noCopy(`public.${name}`), relid, last: true, place: origin });
  for (const table of known) versions.of(table);
  const jobs: CopyJob[] = [];
  const records: SchemaTopicRecord[] = [];
  const record = (one: SchemaTopicRecord): void => {
    if (one.type === 'snapshot') written.set(copyKeyOf(one), one);
    if (one.type === 'partition') records.push(one);
  };
  const make: Targets['make'] = (shape) => {
    const { schema, record: version, before } = versions.of(shape);
    return Promise.resolve({ target: new Target(schema, `p.${schema.name}`, { partitions: 1 }), isNew: version !== null, before });
  };
  const targets = { make, relabel: () => {} } as unknown as Targets;
  const tables = new CapturedTables({
    tables: known, versions, targets, logger: silentLogger, snapshot, start, copies: new CopyRecords(written), place: () => ({ epoch: 1, commitLsn: 77n }), record, copy: (job) => jobs.push(job), left: () => {}, catalog: { nudge: () => {}, find },
  });
  return { tables, versions, jobs, records, written };
}

const items = tableOf('items', 2);
const renamed = { ...items, name: 'things' };

test('D6: the copy under a new name empties the table first, after a crash that came before it began too', async () => {
  const { tables, jobs, written } = captured([items]);
  await tables.meet(renamed);
  assert.deepEqual(jobs.map(({ table, replaces }) => [table.name, replaces]), [['things', true]]);
  assert.equal(written.get(copyKey('public.things', null))?.place.commitLsn, 77n, 'it counts from there on that there is none');
  const again = copyJobs({ orders: new CopyOrders(), tables: [renamed], snapshot: 'initial', copies: written });
  assert.deepEqual(again.map(({ table, replaces }) => [table.name, replaces]), [['things', true]]);
});

test('D6: with snapshot: never a table under a new name is not copied, after a restart neither', async () => {
  const { tables, jobs, written } = captured([items], 'never');
  await tables.meet(renamed);
  assert.deepEqual(jobs, []);
  assert.deepEqual(copyJobs({ orders: new CopyOrders(), tables: [renamed], snapshot: 'never', copies: written }), []);
});

for (const [what, doubt] of [['none of its own', null], ['one that would have left the rows where they are', { reason: 'its rows were written anew', surplus: false }]] as const) {
  test(`D14: rows whose columns nobody could tell, which the stream brings while a look is under way, are doubted with that look, which has ${what}`, async () => {
    const { tables, jobs } = captured([items]);
    // As what was known when the look was begun: nothing was uncertain then.
    assert.equal(tables.looked()[0]?.uncertain, false);
    await tables.meet({ ...items, columns: items.columns.map((column) => ({ ...column, attnum: null })) });
    await tables.takeLook({ tables: [{ shape: items, state: {}, settled: [], doubt }], gone: [] });
    assert.deepEqual(jobs.map(({ table, replaces }) => [table.name, replaces]), [['items', true]]);
    assert.deepEqual(tables.ended({} as Group).map(({ table, doubtful }) => [table, doubtful]), [['public.items', true]]);
    await tables.takeLook({ tables: [{ shape: items, state: {}, settled: [], doubt: null }], gone: [] });
    assert.equal(jobs.length, 1, 'and with the next one no more');
  });
}

/** What a look finds of a table whose rows are those of these partitions. */
const found = (shape: TableShape, partitions: readonly string[], settled: readonly string[] = []): TableLook => ({ shape, state: { holds: partitions }, settled, doubt: null });
/** The END of a look is durable: what is written of the look now. */
function logged(tables: CapturedTables): readonly LookRecord[] {
  const group = {} as Group;
  tables.ended(group);
  return tables.confirmed(group);
}
const doneWith = (jobs: CopyJob[]): unknown[] => jobs.splice(0).map(({ table, replaces }) => [table.name, replaces]);

test('R12: rows of a partition that no look has found in its table are taken back, also where it came and went in between, and a crash forgets none', async () => {
  const { tables, versions, jobs, records } = captured([items]);
  await tables.takeLook({ tables: [found(items, ['7'])], gone: [] });
  logged(tables);
  tables.partition(items, '7');
  assert.deepEqual(tables.looked()[0]?.unsettled, [], 'the last look has it: should it go, the next one tells');
  tables.partition(items, '8');
  tables.partition(items, '8');
  tables.partition(items, '9');
  assert.deepEqual(records.splice(0), ['8', '9'].map((partition) => ({ type: 'partition', relid: items.relid, partition })));
  assert.deepEqual(tables.looked()[0]?.unsettled, ['8', '9']);
  // What a crash leaves, and a life that finds the table as the look had it.
  assert.deepEqual([...versions.unsettled(items.relid)], ['8', '9']);
  await tables.takeLook({ tables: [found(items, ['7', '8'])], gone: [] });
  assert.deepEqual(doneWith(jobs), [['items', true]]);
  assert.deepEqual(tables.looked()[0]?.unsettled, ['8'], 'it came while that look was under way: the next one judges it');
  await tables.takeLook({ tables: [found(items, ['7', '8'], ['8'])], gone: [] });
  assert.deepEqual(doneWith(jobs), [], 'it is copied again once');
  assert.deepEqual(tables.looked()[0]?.unsettled, []);
  await tables.takeLook({ tables: [found(items, ['7', '8'])], gone: [] });
  assert.deepEqual(doneWith(jobs), []);
});

test('R12: a look whose record does not stand in the log yet vouches for no partition, and settles none that was met behind it', async () => {
  const { tables, versions, records } = captured([items]);
  tables.partition(items, '7 there');
  await tables.takeLook({ tables: [found(items, ['7', '8'], ['7 there'])], gone: [] });
  assert.deepEqual([...versions.unsettled(items.relid)], []);
  // A crash now leaves the log without that look, and with rows of both. Where they are is known from it.
  for (const partition of ['7', '8']) tables.partition(items, partition);
  assert.deepEqual(records.splice(0).map((record) => record.type === 'partition' && record.partition), ['7 there', '7 there', '8 there']);
  const [look] = logged(tables);
  assert.deepEqual(look?.settled, []);
  await tables.takeLook({ tables: [found(items, ['7', '8'], ['7 there', '8 there'])], gone: [] });
  assert.deepEqual(logged(tables)[0]?.settled, ['7 there', '8 there']);
  tables.partition(items, '8');
  assert.deepEqual(records, []);
});

test('R12: the first copy of a table that has come later begins behind the first look at it, and takes the place of nothing unless rows have gone', async () => {
  const { tables, jobs } = captured([items]);
  const [later, other] = [tableOf('later', 2), tableOf('other', 2)];
  tables.add([later, other]);
  assert.deepEqual(doneWith(jobs), []);
  await tables.meet(other);
  tables.partition(other, '5');
  await tables.takeLook({ tables: [found(later, []), found(other, [])], gone: [] });
  assert.deepEqual(doneWith(jobs), [['later', false], ['other', true]]);
  await tables.takeLook({ tables: [found(later, [])], gone: [] });
  assert.deepEqual(doneWith(jobs), []);
  // The stream may have met it, and a look found it, before it was discovered.
  const third = tableOf('third', 2);
  await tables.meet(third);
  await tables.takeLook({ tables: [found(third, [])], gone: [] });
  tables.add([third]);
  assert.deepEqual(doneWith(jobs), [['third', false]]);
});

test('R12: what of partitions stands in the log counts in the next life, but for what a look has settled', () => {
  const version = { epoch: 1, number: 1 };
  // Earlier versions wrote numbers.
  const met = (partition: number) => ({ type: 'partition', relid: items.relid, partition }) as const;
  const versions = new SchemaVersions([
    { type: 'version', version, shape: items, registered: undefined }, met(7), met(8),
    // The look's own record comes once its END is durable: behind what was met meanwhile.
    met(9), { type: 'look', relid: items.relid, version, state: { holds: [7] }, settled: ['7', 8] },
  ]);
  assert.deepEqual([...versions.unsettled(items.relid)], ['9']);
});
