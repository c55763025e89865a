import { formatLsn } from '../event/lsn.ts';
import { tableName, type TableSchema } from '../event/table.ts';
import { tupleTexts } from '../event/tuple.ts';
import type { BlockedKey, TableOperation } from '../sink/sink.ts';
import type { EndRecord } from './control-records.ts';
import { isKeyChange, keyString, keyTexts, newKeyTexts } from './row-key.ts';

/**
 * The keys that a sink's dead letters block (PROTOCOL, Poison): what follows for such a key goes the same way until it is
 * retried, because applying it would build on a row that is not there.
 */
export class BlockedKeys {
  readonly #keys = new Map<string, Map<string | null, string>>();

  constructor(keys: readonly BlockedKey[]) {
    for (const key of keys) this.add(key);
  }

  get count(): number {
    let count = 0;
    for (const keys of this.#keys.values()) count += keys.size;
    return count;
  }

  add(key: BlockedKey): void {
    const keys = this.#keys.get(key.table) ?? new Map<string | null, string>();
    this.#keys.set(key.table, keys.set(key.key, key.reason));
  }

  clear(table: string): void {
    this.#keys.delete(table);
  }

  touches(table: string): boolean {
    return this.#keys.has(table);
  }

  /** Why a change may not be applied, with the keys that it blocks in its turn; null when it may. */
  reason(table: TableSchema, change: TableOperation): { readonly reason: string; readonly blocks: readonly BlockedKey[] } | null {
    const keys = this.#keys.get(tableName(table));
    if (keys === undefined || change.op === 't') return null;
    const mine = changedKeys(table, change);
    const blocking = mine.find((key) => keys.has(key)) ?? (keys.has(null) ? null : undefined);
    if (blocking === undefined) return null;
    const reason = `behind an earlier dead letter of ${blocking === null ? 'its table' : 'its key'}`;
    // A key change of a blocked key blocks the new key too.
    return { reason, blocks: mine.filter((key) => !keys.has(key)).map((key) => ({ table: tableName(table), key, reason })) };
  }
}

/** The keys that a change touches: the old one and the new one of a key change. A table without a key blocks whole: null. */
export function changedKeys(table: TableSchema, change: Exclude<TableOperation, { readonly op: 't' }>): readonly (string | null)[] {
  if (table.key.length === 0) return [null];
  if (change.op === 'd') return [keyString(keyTexts(table, change.bytes, change.oldAt))];
  const key = keyString(newKeyTexts(table, change));
  return isKeyChange(table, change) ? [keyString(keyTexts(table, change.bytes, change.oldAt)), key] : [key];
}

/** The record in the dead-letter topic: the event as texts, where it came from, and why. Absent columns are left out. */
export function deadLetter(
  table: TableSchema,
  change: Exclude<TableOperation, { readonly op: 't' }>,
  from: { readonly end: EndRecord; readonly reason: string },
): { readonly key: Uint8Array; readonly value: Uint8Array } {
  const image = (at: number): Record<string, string | null> | null => {
    if (at < 0) return null;
    const row: Record<string, string | null> = Object.create(null) as Record<string, string | null>;
    for (const [i, text] of tupleTexts(change.bytes, at).entries()) {
      const column = table.columns[i];
      if (column !== undefined && text !== undefined) row[column.name] = text;
    }
    return row;
  };
  const { end } = from;
  const value = {
    table: tableName(table), version: table.version, op: change.op, reason: from.reason, startId: end.startId,
    epoch: end.epoch, commitLsn: formatLsn(end.commitLsn), ordinal: change.ordinal,
    oldKind: change.oldKind, before: image(change.oldAt), after: image(change.newAt),
  };
  return { key: Buffer.from(changedKeys(table, change).at(-1) ?? ''), value: Buffer.from(JSON.stringify(value)) };
}
