import { tableName, type TableShape } from '../event/table.ts';
import { origin, type SnapshotRecord } from './control-records.ts';
import { copyKey, noRelation } from './log-state.ts';

/**
 * What has to be written down of the copies when the slot is taken. One whose record an END confirmed and a crash kept from being
 * written again as confirmed: retention may pass that END from now on. One of a table that is not captured any more: nothing of it
 * is sent from here on, and should it be captured again, what changed meanwhile is nowhere, so its copies are void. Behind a gap
 * all are, and a crash before the new ones begin must not let the old ones count again.
 */
export function settledCopies(tables: readonly TableShape[], copies: ReadonlyMap<string, SnapshotRecord>, gap: string | null): readonly SnapshotRecord[] {
  const captured = new Set(tables.map(tableName));
  const settled: SnapshotRecord[] = [];
  for (const record of copies.values()) {
    const isVoid = record.relid !== noRelation && (gap !== null || !captured.has(record.table));
    if (isVoid) settled.push({ ...record, relid: noRelation, confirmed: true });
    else if (!record.confirmed) settled.push({ ...record, confirmed: true });
  }
  if (gap === null) return settled;
  const missing = tables.filter((table) => !copies.has(copyKey(tableName(table), null)));
  return [...settled, ...missing.map((table) => noCopy(tableName(table)))];
}

/** Stands for a table that has to be copied although there is no copy to void. */
export function noCopy(table: string): SnapshotRecord {
  return {
    type: 'snapshot', id: 'none', confirmed: true, table, relid: noRelation, copy: 'none', key: [], sink: null, ask: null, where: null, first: false, last: false,
    ranges: [], rows: 0, rereads: [], from: 0, place: origin, begin: origin, visibility: null,
  };
}
