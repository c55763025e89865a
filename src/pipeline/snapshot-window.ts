import type { RowChange } from '../event/change.ts';
import type { TableShape } from '../event/table.ts';
import { isPartial, overlay } from '../event/tuple.ts';
import type { RowBlock } from '../source/source.ts';
import { isKeyChange, keyString, keyTexts, newKeyTexts } from './row-key.ts';

/** Beyond this the window gives up and the chunk is read again, smaller: memory stays bounded whatever is updated meanwhile. */
export const windowLimit = { keys: 200_000, bytes: 16 << 20 };

/**
 * What the stream brought of one table between a chunk's two watermarks (PROTOCOL, Snapshots: Rows changed in the window).
 * A full change replaces the chunk's row, which may be older; a partial one is laid over it, because the chunk's row is the
 * only full copy of it.
 */
export class SnapshotWindow {
  readonly #table: TableShape;
  /** Keys whose row in the chunk is out: replaced by a full image, deleted, or to be read again. */
  readonly #replaced = new Set<string>();
  /** The partial images to lay over the chunk's row, oldest first. */
  readonly #patches = new Map<string, Uint8Array[]>();
  /** The chunk's rows once they are known: changes of other rows are of no interest. */
  #rows: RowBlock | null = null;
  #keys: ReadonlySet<string> | null = null;
  #bytes = 0;
  #spoiled: string | null = null;

  constructor(table: TableShape) {
    this.#table = table;
  }

  /** Why the chunk must be read again whatever it holds; null when it need not. */
  get spoiled(): string | null {
    return this.#spoiled;
  }

  /** From now on it is known which rows the chunk has. */
  arrived(rows: RowBlock): void {
    this.#rows = rows;
  }

  truncated(): void {
    this.#spoiled ??= 'the table was truncated meanwhile';
  }

  changed(change: RowChange): void {
    if (this.#spoiled !== null) return;
    const table = this.#table;
    if (change.op === 'd') return this.#replace(keyString(keyTexts(table, change.bytes, change.oldAt)));
    const key = keyString(newKeyTexts(table, change));
    const keyChanged = isKeyChange(table, change);
    if (keyChanged) this.#replace(keyString(keyTexts(table, change.bytes, change.oldAt)));
    // With a full old row the sink completes the image itself, so the change replaces the chunk's row. A partial one under a new
    // key is read again in any case (`Copy.changed`).
    const partial = change.op === 'u' && change.oldKind !== 'full' && isPartial(change.bytes, change.newAt);
    if (partial && !keyChanged) this.#patch(key, change.bytes.slice(change.newAt, change.end));
    else this.#replace(key);
  }

  /** The chunk's row as it has to be written, or null when the stream has the newer one. */
  resolve(bytes: Uint8Array, at: number): { readonly bytes: Uint8Array; readonly at: number } | null {
    if (this.#replaced.size === 0 && this.#patches.size === 0) return { bytes, at };
    const key = keyString(keyTexts(this.#table, bytes, at));
    if (this.#replaced.has(key)) return null;
    let row = { bytes, at };
    for (const patch of this.#patches.get(key) ?? []) row = { bytes: overlay(row.bytes, row.at, patch, 0), at: 0 };
    return row;
  }

  #replace(key: string): void {
    if (this.#keys?.has(key) === false) return;
    this.#replaced.add(key);
    this.#patches.delete(key);
    this.#count(key.length);
  }

  #patch(key: string, patch: Uint8Array): void {
    if (this.#replaced.has(key) || this.#keys?.has(key) === false) return;
    const patches = this.#patches.get(key);
    if (patches === undefined) this.#patches.set(key, [patch]);
    else patches.push(patch);
    this.#count(patch.length);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    if (!this.#isFull) return;
    this.#restrict();
    if (this.#isFull) this.#spoiled ??= 'too many rows changed meanwhile';
  }

  get #isFull(): boolean {
    return this.#bytes > windowLimit.bytes || this.#replaced.size + this.#patches.size > windowLimit.keys;
  }

  /** Only changes of the chunk's own rows count towards the limit; it takes a look at each row, so it is put off until then. */
  #restrict(): void {
    const rows = this.#rows;
    if (rows === null || this.#keys !== null) return;
    const keys = new Set<string>();
    for (let i = 0; i < rows.count; i++) keys.add(keyString(keyTexts(this.#table, rows.bytes, rows.starts[i] as number)));
    this.#keys = keys;
    for (const key of this.#replaced) if (!keys.has(key)) this.#replaced.delete(key);
    for (const key of this.#patches.keys()) if (!keys.has(key)) this.#patches.delete(key);
    this.#bytes = 0;
    for (const key of this.#replaced) this.#bytes += key.length;
    for (const patches of this.#patches.values()) for (const patch of patches) this.#bytes += patch.length;
  }
}
