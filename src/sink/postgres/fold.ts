import type { RowChange } from '../../event/change.ts';
import type { TableSchema } from '../../event/table.ts';
import { KIND_ABSENT, TupleReader } from '../../event/tuple.ts';
import type { TableChanges } from '../sink.ts';
import { laidOver, newImage, oldImage, type Image } from './images.ts';
import { KeyTable } from './key-table.ts';

/** What a batch comes to, key by key: each key in exactly one of the lists. */
export interface Folded {
  /** Rows to delete, present or not; only their key counts. */
  readonly deletes: readonly Image[];
  /** Rows to delete that must be there. */
  readonly expectedDeletes: readonly Image[];
  /** Whole rows that the replica cannot have yet, because a change in the batch has made them. */
  readonly inserts: readonly Image[];
  /** Whole rows, to insert or to put in the place of the one that is there. */
  readonly upserts: readonly Image[];
  /** Rows that must be there, of which the columns `present` are set. */
  readonly updates: readonly { readonly present: readonly number[]; readonly rows: readonly Image[] }[];
}

const NEW = 0;
const FULL = 1;
const PATCH = 2;
const GONE = 3;
const FRESH = 4;
const reader = new TupleReader();

/**
 * Folds the changes of each key, in order, into what they come to (PROTOCOL, Applying: "changes of one key are folded"). For a
 * key the fold knows its whole row (FULL; FRESH where the batch itself began with its insert), some columns to lay over a row that must be
 * at the replica (PATCH), or that it is gone (GONE); `expected` remembers that a change took for granted that the replica has the row.
 */
export class Fold {
  readonly #leftOut: Uint8Array | null;
  readonly #columns: readonly number[];
  readonly #keys: KeyTable;
  readonly #coverage: TableChanges['coverage'];
  readonly #states: number[] = [];
  readonly #images: Image[] = [];
  readonly #expected: boolean[] = [];

  constructor(table: TableSchema, options: { readonly leftOut: Uint8Array | null; readonly coverage: TableChanges['coverage'] }) {
    this.#leftOut = options.leftOut;
    this.#columns = table.columns.map((_, i) => i).filter((i) => options.leftOut?.[i] !== 1);
    this.#keys = new KeyTable(table.key, { nullable: false });
    this.#coverage = options.coverage;
  }

  get size(): number {
    return this.#keys.size;
  }

  /**
   * `missing`: the change is one of a row that an earlier one has deleted. `alone`: a key change that lacks columns, whose old
   * row only the replica has; nothing was folded, and it has to be applied by itself behind all that was folded before.
   */
  add(change: RowChange<TableSchema>): 'folded' | 'missing' | 'alone' {
    if (change.op === 'd') return this.#remove(oldImage(change));
    const image = newImage(change);
    // Only an update lacks columns; the columns that the replica does not have need not come.
    const partial = change.op === 'u' && this.#isPartial(image);
    if (change.op === 'u' && change.oldAt >= 0) {
      const old = oldImage(change);
      const from = this.#number(old);
      const to = this.#number(image);
      if (from !== to) return this.#move(from, to, { old, image, partial });
    }
    const number = this.#number(image);
    if (!partial) {
      if (change.op === 'c' && this.#coverage === 'complete' && this.#states[number] === NEW) this.#states[number] = FRESH;
      this.#put(number, image);
      return 'folded';
    }
    return this.#patch(number, image);
  }

  result(): Folded {
    const deletes: Image[] = [];
    const expectedDeletes: Image[] = [];
    const inserts: Image[] = [];
    const upserts: Image[] = [];
    const updates = new Map<string, { present: number[]; rows: Image[] }>();
    for (let i = 0; i < this.#states.length; i++) {
      const image = this.#images[i] as Image;
      const state = this.#states[i];
      const expected = this.#expected[i] as boolean;
      if (state === GONE) (expected ? expectedDeletes : deletes).push(image);
      else if (state === PATCH || (state === FULL && expected && this.#coverage === 'complete')) this.#group(updates, image);
      else if (state === FRESH) inserts.push(image);
      else if (state === FULL) upserts.push(image);
    }
    return { deletes, expectedDeletes, inserts, upserts, updates: [...updates.values()] };
  }

  #put(number: number, image: Image): void {
    if (this.#states[number] === PATCH) this.#expected[number] = true;
    if (this.#states[number] !== FRESH) this.#states[number] = FULL;
    this.#images[number] = image;
  }

  #patch(number: number, image: Image): 'folded' | 'missing' {
    switch (this.#states[number]) {
      case GONE:
        return 'missing';
      case FULL:
      case FRESH:
      case PATCH:
        this.#images[number] = laidOver(this.#images[number] as Image, image);
        return 'folded';
      default:
        this.#states[number] = PATCH;
        this.#images[number] = image;
        return 'folded';
    }
  }

  #remove(image: Image): 'folded' | 'missing' {
    const number = this.#number(image);
    const state = this.#states[number];
    if (state === GONE) return this.#coverage === 'partial' ? 'missing' : 'folded';
    if (state === PATCH || (state === NEW && this.#coverage === 'partial')) this.#expected[number] = true;
    this.#states[number] = GONE;
    this.#images[number] = image;
    return 'folded';
  }

  #move(from: number, to: number, row: { readonly old: Image; readonly image: Image; readonly partial: boolean }): 'folded' | 'missing' | 'alone' {
    const state = this.#states[from];
    if (row.partial && state === GONE) return 'missing';
    if (row.partial && state !== FULL && state !== FRESH) return 'alone';
    const image = row.partial ? laidOver(this.#images[from] as Image, row.image) : row.image;
    if (state === PATCH) this.#expected[from] = true;
    this.#states[from] = GONE;
    this.#images[from] = row.old;
    this.#put(to, image);
    return 'folded';
  }

  #number(image: Image): number {
    const number = this.#keys.number(image.bytes, image.at);
    if (number === this.#states.length) {
      this.#states.push(NEW);
      this.#images.push(image);
      this.#expected.push(false);
    }
    return number;
  }

  #isPartial(image: Image): boolean {
    const leftOut = this.#leftOut;
    reader.reset(image.bytes, image.at);
    while (reader.next()) if (reader.kind === KIND_ABSENT && leftOut?.[reader.index] !== 1) return true;
    return false;
  }

  #group(groups: Map<string, { present: number[]; rows: Image[] }>, image: Image): void {
    const present: number[] = [];
    reader.reset(image.bytes, image.at);
    while (reader.next()) if (reader.kind !== KIND_ABSENT && this.#leftOut?.[reader.index] !== 1) present.push(reader.index);
    const name = present.length === this.#columns.length ? '' : present.join();
    const group = groups.get(name);
    if (group === undefined) groups.set(name, { present, rows: [image] });
    else group.rows.push(image);
  }
}
