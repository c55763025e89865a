import { KIND_TEXT, TupleReader } from '../event/tuple.ts';
import type { TableShape } from '../event/table.ts';

const reader = new TupleReader();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The texts of the key columns, in key order. Key columns are never NULL or absent in a new row or a key image. */
export function keyTexts(table: TableShape, bytes: Uint8Array, at: number): string[] {
  const texts = new Array<string>(table.key.length);
  reader.reset(bytes, at);
  while (reader.next()) {
    const place = table.key.indexOf(reader.index);
    if (place >= 0 && reader.kind === KIND_TEXT) texts[place] = decoder.decode(bytes.subarray(reader.start, reader.end));
  }
  return texts;
}

/** The key of a change's new image: a key column that is absent there (unchanged TOAST) stands in the old one. */
export function newKeyTexts(table: TableShape, change: { readonly bytes: Uint8Array; readonly oldAt: number; readonly newAt: number }): string[] {
  const texts = keyTexts(table, change.bytes, change.newAt);
  if (change.oldAt < 0) return texts;
  const old = keyTexts(table, change.bytes, change.oldAt);
  for (let i = 0; i < table.key.length; i++) texts[i] ??= old[i] as string;
  return texts;
}

/** One string that equals another's exactly when the keys are equal, byte by byte as Postgres writes them. */
export function keyString(texts: readonly string[]): string {
  return JSON.stringify(texts);
}

/** Whether the old image names another key than the new one: always when only the old key was sent, else by comparing. */
export function isKeyChange(table: TableShape, change: { readonly bytes: Uint8Array; readonly oldAt: number; readonly newAt: number }): boolean {
  if (table.key.length === 0 || change.oldAt < 0 || change.newAt < 0) return false;
  const { bytes } = change;
  oldReader.reset(bytes, change.oldAt);
  newReader.reset(bytes, change.newAt);
  while (oldReader.next() && newReader.next()) {
    if (!table.key.includes(oldReader.index)) continue;
    // A key column that is absent in the new image did not change.
    if (newReader.kind !== KIND_TEXT) continue;
    if (!sameBytes(bytes, oldReader, newReader)) return true;
  }
  return false;
}

const oldReader = new TupleReader();
const newReader = new TupleReader();

function sameBytes(bytes: Uint8Array, a: TupleReader, b: TupleReader): boolean {
  const length = a.end - a.start;
  if (length !== b.end - b.start) return false;
  for (let i = 0; i < length; i++) if (bytes[a.start + i] !== bytes[b.start + i]) return false;
  return true;
}
