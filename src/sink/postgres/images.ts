import type { RowChange } from '../../event/change.ts';
import type { TableSchema } from '../../event/table.ts';
import { KIND_ABSENT, overlay, TupleReader } from '../../event/tuple.ts';
import { TailraceError } from '../../runtime/errors.ts';

/** A tuple somewhere in a buffer: `bytes[at, end)` holds it, and perhaps more behind it. */
export interface Image {
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly end: number;
}

const reader = new TupleReader();

export function oldImage(change: RowChange<TableSchema>): Image {
  if (change.oldAt < 0) throw new TailraceError('internal', `a change of ${change.table.name} came without its old row or key`);
  return { bytes: change.bytes, at: change.oldAt, end: change.end };
}

/**
 * The new row as far as the change tells it: what is absent is taken from the old row where that came whole (replica identity
 * full), and a key that did not change and is too long to be sent again from the old key.
 */
export function newImage(change: RowChange<TableSchema>): Image {
  const { bytes, newAt, oldAt, table } = change;
  if (newAt < 0) throw new TailraceError('internal', `a change of ${table.name} came without its new row`);
  const image = { bytes, at: newAt, end: change.end };
  if (change.op !== 'u' || oldAt < 0 || !lacks(image, null)) return image;
  if (change.oldKind === 'full') return whole(overlay(bytes, oldAt, bytes, newAt));
  const { key } = table;
  return lacks(image, key) ? whole(overlayColumns(change, key)) : image;
}

/** Whether one of the columns (all, for null) is absent. */
export function lacks(image: Image, columns: readonly number[] | null): boolean {
  reader.reset(image.bytes, image.at);
  while (reader.next()) if (reader.kind === KIND_ABSENT && (columns === null || columns.includes(reader.index))) return true;
  return false;
}

/** Lays `patch` over `base`. */
export function laidOver(base: Image, patch: Image): Image {
  return whole(overlay(base.bytes, base.at, patch.bytes, patch.at));
}

function whole(bytes: Uint8Array): Image {
  return { bytes, at: 0, end: bytes.length };
}

/** The new tuple with these columns from the old one: outside its key, an old key holds NULLs that mean nothing. */
function overlayColumns(change: RowChange<TableSchema>, columns: readonly number[]): Uint8Array {
  const fresh = new TupleReader().reset(change.bytes, change.newAt);
  const old = new TupleReader().reset(change.bytes, change.oldAt);
  const pieces: Uint8Array[] = [change.bytes.subarray(change.newAt, change.newAt + 2)];
  let from = fresh.end;
  let oldFrom = old.end;
  while (fresh.next() && old.next()) {
    const takeOld = fresh.kind === KIND_ABSENT && columns.includes(fresh.index);
    pieces.push(takeOld ? change.bytes.subarray(oldFrom, old.end) : change.bytes.subarray(from, fresh.end));
    from = fresh.end;
    oldFrom = old.end;
  }
  return Buffer.concat(pieces);
}
