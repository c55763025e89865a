import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TableShape } from '../../src/event/table.ts';
import { CapturedTables } from '../../src/pipeline/captured-tables.ts';
import { origin, type SchemaTopicRecord, type SnapshotRecord, type StartRecord } from '../../src/pipeline/control-records.ts';
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
import { tableOf } from './harness.ts';

interface Captured {
  readonly tables: CapturedTables;
  readonly jobs: CopyJob[];
  /** What `schema` has of copies: what a crash leaves. */
  readonly written: Map<string, SnapshotRecord>;
}

function captured(known: readonly TableShape[], snapshot: 'initial' | 'never' = 'initial'): Captured {
  const start: StartRecord = { type: 'start', logId: 'l', epoch: 1, startId: 's', systemIdentifier: '1', timeline: 1, slot: 'x', tables: [], continues: null, gap: null };
  const versions = new SchemaVersions();
  versions.enterEpoch(1);
  const written = new Map<string, SnapshotRecord>();
  if (snapshot === 'initial') for (const { name, relid } of known) written.set(copyKey(`public.${name}`, null), { ...noCopy(`public.${name}`), relid, last: true, place: origin });
  for (const table of known) versions.of(table);
  const jobs: CopyJob[] = [];
  const record = (one: SchemaTopicRecord): void => {
    if (one.type === 'snapshot') written.set(copyKeyOf(one), one);
  };
  const make: Targets['make'] = (shape) => {
    const { schema, record: version, before } = versions.of(shape);
    return Promise.resolve({ target: new Target(schema, `p.${schema.name}`, 1), isNew: version !== null, before });
  };
  const targets = { make, relabel: () => {} } as unknown as Targets;
  const tables = new CapturedTables({
    tables: known, versions, targets, logger: silentLogger, snapshot, start, copies: new CopyRecords(written), record, copy: (job) => jobs.push(job), unconfirmed: () => {},
  });
  return { tables, jobs, written };
}

const items = tableOf('items', 2);
const renamed = { ...items, name: 'things' };

test('D6: the copy under a new name empties the table first, after a crash that came before it began too', async () => {
  const { tables, jobs, written } = captured([items]);
  await tables.meet(renamed);
  assert.deepEqual(jobs.map(({ table, replaces }) => [table.name, replaces]), [['things', true]]);
  const again = copyJobs({ orders: new CopyOrders(), tables: [renamed], snapshot: 'initial', copies: written, asks: [] });
  assert.deepEqual(again.map(({ table, replaces }) => [table.name, replaces]), [['things', true]]);
});

test('D6: with snapshot: never a table under a new name is not copied, after a restart neither', async () => {
  const { tables, jobs, written } = captured([items], 'never');
  await tables.meet(renamed);
  assert.deepEqual(jobs, []);
  assert.deepEqual(copyJobs({ orders: new CopyOrders(), tables: [renamed], snapshot: 'never', copies: written, asks: [] }), []);
});

for (const [what, doubt] of [['none of its own', null], ['one that would have left the rows where they are', { reason: 'its rows were written anew', surplus: false }]] as const) {
  test(`D14: rows whose columns nobody could tell, which the stream brings while a look is under way, are doubted with that look, which has ${what}`, async () => {
    const { tables, jobs } = captured([items]);
    // As what was known when the look was begun: nothing was uncertain then.
    assert.equal(tables.looked()[0]?.uncertain, false);
    await tables.meet({ ...items, columns: items.columns.map((column) => ({ ...column, attnum: null })) });
    await tables.takeLook({ tables: [{ shape: items, state: {}, doubt }], gone: [] });
    assert.deepEqual(jobs.map(({ table, replaces }) => [table.name, replaces]), [['items', true]]);
    assert.deepEqual(tables.ended({} as Group).map(({ table, doubtful }) => [table, doubtful]), [['public.items', true]]);
    await tables.takeLook({ tables: [{ shape: items, state: {}, doubt: null }], gone: [] });
    assert.equal(jobs.length, 1, 'and with the next one no more');
  });
}
