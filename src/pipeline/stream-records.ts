import type { RowChange } from '../event/change.ts';
import { formatLsn } from '../event/lsn.ts';
import { tableName, type TableShape } from '../event/table.ts';
import type { LogReader } from '../log/log.ts';
import type { EndRecord, Place, SnapshotRecord } from './control-records.ts';
import type { CopyAsk } from './copy-jobs.ts';
import { copyKey, type SchemaState } from './log-state.ts';
import { readSinkRecords, sinceForgotten } from './sink-topic.ts';
import type { TopicNames } from './topics.ts';

/** One row of a stream's output: what it was and what it is. */
export interface StreamChange {
  readonly shape: TableShape;
  readonly before: Uint8Array | null;
  readonly after: Uint8Array | null;
}

/** The commit LSN of what stands for all before it: below every one of a server. */
export const wholeAt = 1n;

/** Whether an END is of what stands for all before it, and no step. */
export function isWhole({ commitLsn, snapshot }: EndRecord): boolean {
  return commitLsn === wholeAt && snapshot === null;
}

/** Names an END of a stream: a START of it never meets one place of its input twice. */
export function endMark({ startId, commitLsn }: Pick<EndRecord, 'startId' | 'commitLsn'>): string {
  return `${startId} ${formatLsn(commitLsn)}`;
}

/** What `schema` says of a copy that is one transaction. */
export function copyRecord(shape: TableShape, of: { readonly id: string; readonly sink: string | null; readonly ask: string | null; readonly place: Place }): SnapshotRecord {
  const { id, sink, ask, place } = of;
  return {
    type: 'snapshot', id, confirmed: true, table: tableName(shape), relid: shape.relid, key: shape.key.map((index) => shape.columns[index]?.name ?? ''), sink, ask, where: null,
    copy: id, first: true, last: true, ranges: [], rows: 0, rereads: [], from: 0, place, begin: place, visibility: null,
  };
}

/** Each sink's newest ask for an output, where no copy answers it. */
export async function standingAsks({ topics, reader, sinks }: { readonly topics: TopicNames; readonly reader: LogReader; readonly sinks: readonly string[] }, { copies }: SchemaState): Promise<readonly CopyAsk[]> {
  const asks = new Map<string, CopyAsk>();
  for (const sink of sinks) {
    for (const record of sinceForgotten(await readSinkRecords(reader, topics, sink))) {
      if (record.type === 'ask') asks.set(copyKey(record.table, sink), { sink, table: record.table, id: record.id });
    }
  }
  return [...asks].flatMap(([key, ask]) => (copies.get(key)?.ask === ask.id ? [] : [ask]));
}

/** It as an event's row; `ordinal` counts from the step's beginning. */
export function rowChange({ shape, before, after }: StreamChange, ordinal: number): RowChange {
  const bytes = Buffer.concat([before ?? Buffer.alloc(0), after ?? Buffer.alloc(0)]);
  const newAt = after === null ? -1 : (before?.length ?? 0);
  const op = before === null ? 'c' : after === null ? 'd' : 'u';
  return { op, table: shape, ordinal, bytes, oldKind: before === null ? 'none' : 'full', oldAt: before === null ? -1 : 0, newAt, end: bytes.length };
}
