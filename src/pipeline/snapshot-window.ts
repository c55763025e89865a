import type { RowChange } from '../event/change.ts';
import type { TableShape } from '../event/table.ts';
import { isPartial, overlay } from '../event/tuple.ts';
import { isKeyChange, keyString, keyTexts } from './row-key.ts';

/** Beyond this the window gives up and the chunk is read again, smaller: memory stays bounded whatever is updated meanwhile. */
export const windowLimit = { keys: 200_000, bytes: 16 << 20 };

/**
 * What the stream brought of one table between a chunk's two watermarks (PROTOCOL, Snapshots: Rows changed in the window).
 * A full change replaces the chunk's row, which may be older; a partial one is laid over it, because the chunk's row is the
 * only full copy of it.
 */
export class SnapshotWindow {
  readonly #table: TableShape;
  /** Keys whose row in the chunk is out: replaced by a full image or deleted. */
  readonly #replaced = new Set<string>();
  /** The partial images to lay over the chunk's row, oldest first. */
  readonly #patches = new Map<string, Uint8Array[]>();
  readonly #rereads = new Map<string, readonly string[]>();
  #bytes = 0;
  #spoiled: string | null = null;

  constructor(table: TableShape) {
    this.#table = table;
  }

  /** Why the chunk must be read again whatever it holds; null when it need not. */
  get spoiled(): string | null {
    return this.#spoiled;
  }

  /** New keys of partial key changes: their full image is nowhere in the stream. */
  get rereads(): readonly (readonly string[])[] {
    return [...this.#rereads.values()];
  }

  truncated(): void {
    this.#spoiled ??= 'the table was truncated meanwhile';
  }

  changed(change: RowChange): void {
    if (this.#spoiled !== null) return;
    const table = this.#table;
    if (change.op === 'd') return this.#replace(keyString(keyTexts(table, change.bytes, change.oldAt)));
    const newKey = keyTexts(table, change.bytes, change.newAt);
    const key = keyString(newKey);
    const keyChanged = isKeyChange(table, change);
    if (keyChanged) this.#replace(keyString(keyTexts(table, change.bytes, change.oldAt)));
    // With a full old row the sink completes the image itself, so the change replaces the chunk's row.
    const partial = change.op === 'u' && change.oldKind !== 'full' && isPartial(change.bytes, change.newAt);
    if (!partial) return this.#replace(key);
    if (keyChanged) this.#rereads.set(key, newKey);
    this.#patch(key, change.bytes.slice(change.newAt, change.end));
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
    this.#replaced.add(key);
    this.#patches.delete(key);
    this.#rereads.delete(key);
    this.#count(key.length);
  }

  #patch(key: string, patch: Uint8Array): void {
    if (this.#replaced.has(key) && !this.#rereads.has(key)) return;
    const patches = this.#patches.get(key);
    if (patches === undefined) this.#patches.set(key, [patch]);
    else patches.push(patch);
    this.#count(patch.length);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > windowLimit.bytes || this.#replaced.size + this.#patches.size > windowLimit.keys) {
      this.#spoiled ??= 'too many rows changed meanwhile';
    }
  }
}
