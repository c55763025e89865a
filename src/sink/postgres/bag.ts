import type { RowChange } from '../../event/change.ts';
import type { TableSchema } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { newImage, oldImage, type Image } from './images.ts';
import { KeyTable } from './key-table.ts';

/** So many equal rows. */
export interface Copies {
  readonly image: Image;
  readonly count: number;
}

/**
 * Folds the changes of a table without a key: equal rows are told apart by nothing, so a batch comes to how many of each are
 * to be taken away from those at the replica, and how many are to be added afterwards. A row that was deleted must have been
 * there, which is why a delete and an insert that follows it do not cancel out; an insert and a delete that follows it do.
 */
export class Bag {
  readonly #rows: KeyTable;
  readonly #images: Image[] = [];
  readonly #net: number[] = [];
  /** The lowest that the count came to on the way: so many must be at the replica. */
  readonly #lowest: number[] = [];

  /** `columns`: those that the replica has; rows that differ in others only are equal there. */
  constructor(columns: readonly number[]) {
    this.#rows = new KeyTable(columns, { nullable: true });
  }

  get size(): number {
    return this.#rows.size;
  }

  add(change: RowChange<TableSchema>): void {
    if (change.op === 'u' || change.op === 'd') {
      if (change.oldKind !== 'full') throw new TailraceError('internal', `a change of ${change.table.name}, which has no key, came without its old row`);
      this.#count(oldImage(change), -1);
    }
    if (change.op !== 'd') this.#count(newImage(change), 1);
  }

  result(): { readonly deletes: readonly Copies[]; readonly inserts: readonly Copies[] } {
    const deletes: Copies[] = [];
    const inserts: Copies[] = [];
    for (let i = 0; i < this.#images.length; i++) {
      const image = this.#images[i] as Image;
      const lowest = this.#lowest[i] as number;
      const more = (this.#net[i] as number) - lowest;
      if (lowest < 0) deletes.push({ image, count: -lowest });
      if (more > 0) inserts.push({ image, count: more });
    }
    return { deletes, inserts };
  }

  #count(image: Image, by: 1 | -1): void {
    const row = this.#rows.number(image.bytes, image.at);
    if (row === this.#images.length) {
      this.#images.push(image);
      this.#net.push(0);
      this.#lowest.push(0);
    }
    const net = (this.#net[row] as number) + by;
    this.#net[row] = net;
    if (net < (this.#lowest[row] as number)) this.#lowest[row] = net;
  }
}
