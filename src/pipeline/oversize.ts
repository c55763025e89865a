import type { RowChange } from '../event/change.ts';
import { tableName, type TableShape } from '../event/table.ts';
import { isPartial, KIND_ABSENT, KIND_NULL, TupleReader } from '../event/tuple.ts';
import type { Oversize } from '../log/log.ts';
import { TailraceError } from '../runtime/errors.ts';
import { shortened } from '../runtime/printable.ts';
import { formatSize } from '../runtime/units.ts';
import { keyTexts, newKeyTexts } from './row-key.ts';
import { withOldRow } from './whole/images.ts';

/*
 * An event that is larger than the log takes. The old row goes first, where a key says which row it was: that loses nothing. Then, where the
 * configuration says so, the row: what is left has the identity and the key of the event, is marked, and is no row to any reader.
 */

/** The same change with no more of its old row than the key; undefined when it has no more. */
export function withoutOldRow(change: RowChange, keyChanged: boolean): RowChange | undefined {
  if (change.oldKind !== 'full' || change.table.key.length === 0) return undefined;
  const whole = change.op === 'u' ? withOldRow(change) : change;
  const old = change.op === 'd' || keyChanged ? keyOf(change.table, change.bytes, change.oldAt, KIND_NULL) : new Uint8Array(0);
  const next = whole.newAt < 0 ? new Uint8Array(0) : whole.bytes.subarray(whole.newAt, whole.end);
  const bytes = Buffer.concat([old, next]);
  return { ...change, bytes, oldKind: old.length > 0 ? 'key' : 'none', oldAt: old.length > 0 ? 0 : -1, newAt: whole.newAt < 0 ? -1 : old.length, end: bytes.length };
}

/** What stands for the change when its row is left out: an update that says nothing but the key, and the old key where that was another. */
export function keyOnly(change: RowChange, keyChanged: boolean): RowChange {
  const { table, bytes: from, oldAt, newAt } = change;
  const lacksKey = newAt >= 0 && oldAt >= 0 && isPartial(from, newAt);
  const old = table.key.length > 0 && oldAt >= 0 && (keyChanged || lacksKey) ? keyOf(table, from, oldAt, KIND_NULL) : new Uint8Array(0);
  const next = keyOf(table, from, newAt < 0 ? oldAt : newAt, KIND_ABSENT);
  const bytes = Buffer.concat([old, next]);
  return { op: 'u', table, ordinal: change.ordinal, bytes, oldKind: old.length > 0 ? 'key' : 'none', oldAt: old.length > 0 ? 0 : -1, newAt: old.length, end: bytes.length };
}

/** The tuple with its key columns alone, and `other` in place of each of the rest. */
function keyOf(table: TableShape, bytes: Uint8Array, at: number, other: number): Uint8Array {
  const reader = new TupleReader().reset(bytes, at);
  const pieces: Uint8Array[] = [bytes.subarray(at, reader.end)];
  for (let from = reader.end; reader.next(); from = reader.end) pieces.push(table.key.includes(reader.index) ? bytes.subarray(from, reader.end) : Uint8Array.of(other));
  return Buffer.concat(pieces);
}

export function rowTooLarge(change: RowChange, { bytes, limits }: Oversize): TailraceError {
  const { table, op, oldAt, newAt } = change;
  const texts = newAt < 0 ? keyTexts(table, change.bytes, oldAt) : newKeyTexts(table, change);
  const key = table.key.map((index, i) => `${table.columns[index]?.name}=${shortened(texts[i] ?? '', 100)}`).join(', ');
  const what = { c: 'an insert into', r: 'a copied row of', u: 'an update of', d: 'a delete from' }[op];
  return new TailraceError('log-record-too-large', `${what} ${tableName(table)} ${key === '' ? '(which has no key)' : `with the key (${key})`} has ${formatSize(bytes)}: ${limits}`);
}

export function messageTooLarge(prefix: string, { bytes, limits }: Oversize): TailraceError {
  return new TailraceError('log-record-too-large', `a logical message with the prefix ${prefix} has ${formatSize(bytes)}: ${limits}`);
}
