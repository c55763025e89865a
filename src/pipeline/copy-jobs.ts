import { tableName, type TableShape } from '../event/table.ts';
import type { CopyOrderRecord, SnapshotRecord } from './control-records.ts';
import type { CopyOrders } from './copy-orders.ts';
import { keyNames, type CopyJob } from './copy.ts';
import { copyKey } from './log-state.ts';

/** A sink asks for a copy of its own. */
export interface CopyAsk {
  readonly sink: string;
  readonly table: string;
  readonly id: string;
}

/** What is still to be copied: tables without a complete copy, and what commands asked for. */
export function copyJobs(of: {
  readonly orders: CopyOrders;
  readonly tables: readonly TableShape[];
  readonly snapshot: 'initial' | 'never';
  readonly copies: ReadonlyMap<string, SnapshotRecord>;
}): readonly CopyJob[] {
  // With `snapshot: never` only what a gap has left is copied.
  const due = of.tables.filter((table) => of.snapshot === 'initial' || of.copies.has(copyKey(tableName(table), null)) || of.orders.whole(tableName(table)) !== null);
  const jobs = [
    ...due.map((table) => unfinished(table, { sink: null, ask: of.orders.whole(tableName(table)) }, of.copies)),
    ...of.orders.someRows().map((order) => orderedJob(order, of.tables, of.copies)),
  ];
  return jobs.filter((job) => job !== null);
}

/** Of a table that has come later. One of the same name may have been there before. */
export function firstJob(table: TableShape, copies: ReadonlyMap<string, SnapshotRecord>): CopyJob {
  return { table, sink: null, ask: null, resume: null, replaces: copies.has(copyKey(tableName(table), null)) };
}

/** The job as the orders want it: whoever begins a copy of a whole table anew answers whatever was ordered before. */
export function answering(job: CopyJob, orders: CopyOrders): CopyJob {
  if (job.where != null) return job;
  const name = tableName(job.table);
  return { ...job, ask: job.sink === null ? orders.whole(name) : job.ask, stopped: orders.isStopped(name) };
}

/** What an order of a command comes to; null when it is not for a copy, or the table is not captured. */
export function orderedJob(order: CopyOrderRecord, tables: readonly TableShape[], copies: ReadonlyMap<string, SnapshotRecord>): CopyJob | null {
  const table = tables.find((candidate) => tableName(candidate) === order.table);
  if (order.action !== 'copy' || table === undefined) return null;
  if (order.where === null) return { table, sink: null, ask: order.id, resume: null, replaces: true };
  const record = copies.get(copyKey(tableName(table), null, order.id));
  const resume = record !== undefined && record.relid === table.relid && hasKey(record, table) ? record : null;
  return { table, sink: null, ask: order.id, where: order.where, resume, replaces: false };
}

/** A copy that a sink asked for always begins with a truncate event: the sink empties its table with it. */
export function askedJob(ask: CopyAsk, tables: readonly TableShape[], copies: ReadonlyMap<string, SnapshotRecord>): CopyJob | null {
  const table = tables.find((candidate) => tableName(candidate) === ask.table);
  if (table === undefined) return null;
  const job = unfinished(table, { sink: ask.sink, ask: ask.id }, copies);
  return job && { ...job, replaces: job.resume === null };
}

function unfinished(table: TableShape, of: Pick<CopyJob, 'sink' | 'ask'>, copies: ReadonlyMap<string, SnapshotRecord>): CopyJob | null {
  const job = { table, ...of };
  const record = copies.get(copyKey(tableName(table), job.sink));
  // A table that was dropped and made again under its name is another table.
  if (record === undefined || record.relid !== table.relid || record.ask !== job.ask) {
    return { ...job, resume: null, replaces: record !== undefined };
  }
  if (record.last) return null;
  // Where it stopped is told by a key that the table does not have any more.
  if (!hasKey(record, table)) return { ...job, resume: null, replaces: true };
  return { ...job, resume: record, replaces: false };
}

function hasKey(record: SnapshotRecord, table: TableShape): boolean {
  return record.key.join('\0') === keyNames(table).join('\0');
}

/** Copies of some rows stand for themselves, by the order that they answer. */
export function isSameCopy(a: CopyJob, b: CopyJob): boolean {
  const some = (job: CopyJob): string | null => ((job.where ?? null) === null ? null : job.ask);
  // By its name, which may have gone to another table, or by itself, under another name.
  const sameTable = tableName(a.table) === tableName(b.table) || a.table.relid === b.table.relid;
  return sameTable && a.sink === b.sink && some(a) === some(b);
}
