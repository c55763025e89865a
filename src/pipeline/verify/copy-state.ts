import type { SinkRecord, SnapshotRecord, StartRecord } from '../control-records.ts';
import { copyKey } from '../log-state.ts';
import { sinceForgotten } from '../sink-topic.ts';

export interface CopyFacts {
  readonly snapshot: 'initial' | 'never';
  readonly start: StartRecord;
  readonly copies: ReadonlyMap<string, SnapshotRecord>;
  readonly sink: string;
  /** What the sink said in its topic. */
  readonly said: readonly SinkRecord[];
}

/**
 * Whether the copy that this sink's replica of a table rests on is complete in the log (PROTOCOL, Snapshots and Latecomers).
 * When it is, the replica has it as soon as it has passed a marker that was written later.
 */
export function isCopied(table: { readonly name: string; readonly relid: number }, { snapshot, start, copies, sink, said }: CopyFacts): boolean {
  const since = sinceForgotten(said);
  const ask = since.findLast((record) => record.type === 'ask' && record.table === table.name);
  if (ask?.type === 'ask') {
    const own = copies.get(copyKey(table.name, sink));
    return own?.ask === ask.id && isComplete(own, table.relid, start);
  }
  const forAll = copies.get(copyKey(table.name, null));
  if (forAll === undefined) return snapshot === 'never';
  return isComplete(forAll, table.relid, start);
}

function isComplete(copy: SnapshotRecord, relid: number, start: StartRecord): boolean {
  // A gap that the config let pass: what was copied before it is copied anew.
  const beforeGap = start.gap !== null && copy.place.epoch < start.epoch;
  return copy.last && copy.relid === relid && !beforeGap;
}
