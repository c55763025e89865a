import { tableName, type TableShape } from '../event/table.ts';
import type { SnapshotRecord } from './control-records.ts';
import { keyNames, type CopyJob } from './copy.ts';
import { copyKey } from './log-state.ts';

/** A sink asks for a copy of its own. */
export interface CopyAsk {
  readonly sink: string;
  readonly table: string;
  readonly id: string;
}

/** What is still to be copied: tables without a complete copy, and what sinks asked for. */
export function copyJobs(of: {
  readonly tables: readonly TableShape[];
  readonly snapshot: 'initial' | 'never';
  readonly copies: ReadonlyMap<string, SnapshotRecord>;
  /** In the order in which they were asked. */
  readonly asks: readonly CopyAsk[];
}): readonly CopyJob[] {
  // With `snapshot: never` only what a gap has left is copied.
  const due = of.tables.filter((table) => of.snapshot === 'initial' || of.copies.has(copyKey(tableName(table), null)));
  // A sink's newest ask for a table is the one that counts.
  const asks = new Map(of.asks.map((ask) => [copyKey(ask.table, ask.sink), ask]));
  const jobs = [...due.map((table) => unfinished(table, null, of.copies)), ...[...asks.values()].map((ask) => askedJob(ask, of.tables, of.copies))];
  return jobs.filter((job) => job !== null);
}

/** A copy that a sink asked for always begins with a truncate event: the sink empties its table with it. */
export function askedJob(ask: CopyAsk, tables: readonly TableShape[], copies: ReadonlyMap<string, SnapshotRecord>): CopyJob | null {
  const table = tables.find((candidate) => tableName(candidate) === ask.table);
  if (table === undefined) return null;
  const job = unfinished(table, ask, copies);
  return job && { ...job, replaces: job.resume === null };
}

function unfinished(table: TableShape, ask: CopyAsk | null, copies: ReadonlyMap<string, SnapshotRecord>): CopyJob | null {
  const job = { table, sink: ask?.sink ?? null, ask: ask?.id ?? null };
  const record = copies.get(copyKey(tableName(table), job.sink));
  // A table that was dropped and made again under its name is another table.
  if (record === undefined || record.relid !== table.relid || record.ask !== job.ask) {
    return { ...job, resume: null, replaces: record !== undefined };
  }
  if (record.last) return null;
  // Where it stopped is told by a key that the table does not have any more.
  if (record.key.join('\0') !== keyNames(table).join('\0')) return { ...job, resume: null, replaces: true };
  return { ...job, resume: record, replaces: false };
}
