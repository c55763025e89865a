import type { RowId, RowState } from '../../event/digest.ts';
import type { TableSchema } from '../../event/table.ts';
import { tupleTexts } from '../../event/tuple.ts';
import { rowText } from '../../event/row-text.ts';
import { shortMd5 } from '../../runtime/md5.ts';
import type { TableOperation } from '../../sink/sink.ts';
import { keyString, keyTexts, newKeyTexts } from '../row-key.ts';

/** What the log says of one row over a while. */
export interface RowHistory {
  /** Whether any change was of this row. */
  readonly touched: boolean;
  /** Whether the source showed `seen` at some moment, if it showed `from` at the beginning. */
  explains(from: RowState | undefined, seen: RowState | undefined): boolean;
}

/** The hash of each compared column of a new image; undefined: the change does not say. Null: the row was deleted. */
type Image = readonly (string | undefined)[] | null;

/**
 * Collects the changes of some rows, in log order. A row that changes all the time never rests long enough to be seen the same
 * twice; its history tells whether what the replica shows is one of the states that it went through.
 */
export class Histories {
  readonly #ids: ReadonlySet<RowId>;
  /** Names of the compared columns. */
  readonly #columns: readonly string[];
  readonly #keyed: boolean;
  readonly #images = new Map<RowId, Image[]>();
  readonly #counts = new Map<RowId, { inserted: number; deleted: number }>();
  #truncated = false;
  #unknown = false;

  constructor(ids: readonly RowId[], options: { readonly columns: readonly string[]; readonly keyed: boolean }) {
    this.#ids = new Set(ids);
    this.#columns = options.columns;
    this.#keyed = options.keyed;
  }

  /** Something happened that cannot be told: no row counts as untouched, and nothing is explained. */
  lost(): void {
    this.#unknown = true;
  }

  add(table: TableSchema, change: TableOperation): void {
    if (change.op === 't') {
      this.#truncated = true;
      for (const id of this.#ids) if (this.#keyed) this.#note(id, null);
    } else if (this.#keyed) this.#addKeyed(table, change);
    else this.#addKeyless(table, change);
  }

  of(id: RowId): RowHistory {
    if (this.#unknown) return { touched: true, explains: () => false };
    return this.#keyed ? this.#keyedHistory(this.#images.get(id) ?? []) : this.#keylessHistory(id);
  }

  #addKeyed(table: TableSchema, change: Exclude<TableOperation, { op: 't' }>): void {
    if (change.oldAt >= 0) {
      const old = keyString(keyTexts(table, change.bytes, change.oldAt));
      // The old key of a key change, or the old row of an update that keeps its key: that one is noted below.
      if (this.#ids.has(old) && (change.newAt < 0 || keyOf(table, change) !== old)) this.#note(old, null);
    }
    if (change.newAt < 0) return;
    const id = keyOf(table, change);
    if (!this.#ids.has(id)) return;
    const texts = newTexts(change);
    this.#note(id, this.#columns.map((name) => hashOf(texts[table.columns.findIndex((column) => column.name === name)])));
  }

  #addKeyless(table: TableSchema, change: Exclude<TableOperation, { op: 't' }>): void {
    // Without a key the old row comes whole.
    if (change.oldAt >= 0) this.#count(this.#rowHash(table, tupleTexts(change.bytes, change.oldAt)), 'deleted');
    if (change.newAt >= 0) this.#count(this.#rowHash(table, newTexts(change)), 'inserted');
  }

  #rowHash(table: TableSchema, texts: readonly (string | null | undefined)[]): RowId | null {
    const values = this.#columns.map((name) => texts[table.columns.findIndex((column) => column.name === name)]);
    return values.includes(undefined) ? null : shortMd5(rowText(values as (string | null)[]));
  }

  #count(id: RowId | null, what: 'inserted' | 'deleted'): void {
    if (id === null) this.#unknown = true;
    if (id === null || !this.#ids.has(id)) return;
    const counts = this.#counts.get(id) ?? { inserted: 0, deleted: 0 };
    counts[what]++;
    this.#counts.set(id, counts);
  }

  #note(id: RowId, image: Image): void {
    const images = this.#images.get(id);
    if (images === undefined) this.#images.set(id, [image]);
    else images.push(image);
  }

  #keyedHistory(images: readonly Image[]): RowHistory {
    const explains = (from: RowState | undefined, seen: RowState | undefined): boolean => {
      let state = from?.split(',');
      if (from === seen) return true;
      for (const image of images) {
        // What the change does not say (unchanged TOAST) is as it was.
        const before = state;
        const next = image?.map((hash, i) => hash ?? before?.[i]);
        state = next?.every((hash) => hash !== undefined) === true ? next : undefined;
        if (image === null ? seen === undefined : state !== undefined && state.join(',') === seen) return true;
      }
      return false;
    };
    return { touched: images.length > 0, explains };
  }

  /** Which of the counts in between there really were is not told: what lies outside is what counts. */
  #keylessHistory(id: RowId): RowHistory {
    const { inserted, deleted } = this.#counts.get(id) ?? { inserted: 0, deleted: 0 };
    const truncated = this.#truncated;
    return {
      touched: truncated || inserted + deleted > 0,
      explains: (from, seen) => {
        const [start, found] = [Number(from ?? 0), Number(seen ?? 0)];
        return found <= start + inserted && found >= (truncated ? 0 : start - deleted);
      },
    };
  }
}

function keyOf(table: TableSchema, change: { readonly bytes: Uint8Array; readonly oldAt: number; readonly newAt: number }): RowId {
  return keyString(newKeyTexts(table, change));
}

/** The new row's texts; where it lacks a column and the whole old row came along, that one's. */
function newTexts(change: Exclude<TableOperation, { op: 't' }>): (string | null | undefined)[] {
  const texts = tupleTexts(change.bytes, change.newAt);
  if (change.oldKind !== 'full') return texts;
  const old = tupleTexts(change.bytes, change.oldAt);
  return texts.map((text, i) => (text === undefined ? old[i] : text));
}

function hashOf(text: string | null | undefined): string | undefined {
  return text === undefined ? undefined : text === null ? '-' : shortMd5(text);
}
