import type { RowChange } from '../../event/change.ts';
import type { Column, TableSchema, TableShape } from '../../event/table.ts';
import { isPartial, KIND_ABSENT, overlay, tupleEnd, TupleReader } from '../../event/tuple.ts';

/** A row's tuple, by itself, under a version of its table. */
export interface RowImage {
  readonly table: TableSchema;
  readonly tuple: Uint8Array;
}

/** Of a change that has a new row. */
export function imageOf({ table, bytes, newAt }: RowChange<TableSchema>): RowImage {
  return { table, tuple: bytes.slice(newAt, tupleEnd(bytes, newAt)) };
}

/** The change with another new row. */
export function withNewRow<T extends TableShape>(change: RowChange<T>, tuple: Uint8Array): RowChange<T> {
  const old = change.oldAt < 0 ? new Uint8Array(0) : change.bytes.subarray(change.oldAt, tupleEnd(change.bytes, change.oldAt));
  const bytes = new Uint8Array(old.length + tuple.length);
  bytes.set(old);
  bytes.set(tuple, old.length);
  return { ...change, bytes, oldAt: change.oldAt < 0 ? -1 : 0, newAt: old.length, end: bytes.length };
}

/** What the new row lacks, from the old one that came whole (replica identity full). */
export function withOldRow<T extends TableShape>(change: RowChange<T>): RowChange<T> {
  const { bytes, oldAt, newAt } = change;
  return isPartial(bytes, newAt) ? withNewRow(change, overlay(bytes, oldAt, bytes, newAt)) : change;
}

/** The row with patches laid over it, which stand newest first. Null when it has nothing to do with them any more. */
export function laidOver(base: RowImage, patches: readonly RowImage[]): RowImage | null {
  let row = base;
  for (const patch of patches.toReversed()) {
    const under = aligned(row, patch.table);
    if (under === null) return null;
    row = { table: patch.table, tuple: overlay(under, 0, patch.tuple, 0) };
  }
  return row;
}

/** The row's tuple as one of another version of its table: what that has new is absent. Null for another table. */
export function aligned({ table, tuple }: RowImage, to: TableSchema): Uint8Array | null {
  if (table.version.epoch === to.version.epoch && table.version.number === to.version.number) return tuple;
  if (table.relid !== to.relid) return null;
  const spans = spansOf(tuple);
  const pieces: Uint8Array[] = [Uint8Array.of(to.columns.length >> 8, to.columns.length & 0xff)];
  for (const column of to.columns) {
    const from = table.columns.findIndex((candidate) => isSame(candidate, column));
    pieces.push(spans[from] ?? Uint8Array.of(KIND_ABSENT));
  }
  return Buffer.concat(pieces);
}

/** A column keeps its number whatever it is called; of another type its old values say nothing. */
function isSame(a: Column, b: Column): boolean {
  if (a.typeOid !== b.typeOid || a.typmod !== b.typmod) return false;
  return a.attnum === null || b.attnum === null ? a.name === b.name : a.attnum === b.attnum;
}

function spansOf(tuple: Uint8Array): readonly Uint8Array[] {
  const reader = new TupleReader().reset(tuple, 0);
  const spans: Uint8Array[] = [];
  let from = reader.end;
  while (reader.next()) {
    spans.push(tuple.subarray(from, reader.end));
    from = reader.end;
  }
  return spans;
}
