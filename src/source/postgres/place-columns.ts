import type { Relation, RelationColumn } from './relation.ts';
import type { Attribute } from './stream-catalog.ts';

/** What is known of a table's columns from before: which there were, and the stamps of those at the last look. */
export interface KnownColumns {
  readonly attnums: ReadonlySet<number>;
  readonly stamps: ReadonlyMap<number, string>;
}

/**
 * Which columns of the catalog a Relation speaks of, by attnum; null when it can't be told for certain. A Relation has names,
 * types and order but no numbers, and the catalog is that of now, which may be ahead of the stream by any number of changes.
 * Names alone never decide: a column may have been dropped and made again, or two have changed their names.
 *
 * What is certain: columns stand in the order of their numbers, which are never used again. A column that stands now and stood
 * before has stood all the time; one with the stamp of the last look has not been altered since. One that was dropped may or
 * may not have stood still. So every way to lay the Relation's columns over the catalog's is looked for: if there is one
 * only, that is it.
 */
export function placeColumns(relation: Relation, known: KnownColumns, now: readonly Attribute[]): readonly number[] | null {
  const last = Math.max(0, ...known.attnums);
  const possible = now.filter(({ attnum, dropped, sent }) => known.attnums.has(attnum) || (dropped ? attnum > last : sent));
  return new Search(relation.columns, possible, { known, last }).only();
}

class Search {
  readonly #columns: readonly RelationColumn[];
  readonly #attributes: readonly Attribute[];
  readonly #known: KnownColumns;
  readonly #last: number;
  /** By place in both lists: in how many ways the rest fits, 2 for more than one. */
  readonly #ways = new Map<number, number>();

  constructor(columns: readonly RelationColumn[], attributes: readonly Attribute[], { known, last }: { readonly known: KnownColumns; readonly last: number }) {
    this.#columns = columns;
    this.#attributes = attributes;
    this.#known = known;
    this.#last = last;
  }

  only(): readonly number[] | null {
    if (this.#count(0, 0) !== 1) return null;
    const attnums: number[] = [];
    for (let i = 0, j = 0; i < this.#columns.length; j++) {
      if (!this.#fits(i, j) || this.#count(i + 1, j + 1) !== 1) continue;
      attnums.push((this.#attributes[j] as Attribute).attnum);
      i++;
    }
    return attnums;
  }

  #count(i: number, j: number): number {
    if (j === this.#attributes.length) return i === this.#columns.length ? 1 : 0;
    const at = i * (this.#attributes.length + 1) + j;
    const counted = this.#ways.get(at);
    if (counted !== undefined) return counted;
    const taken = this.#fits(i, j) ? this.#count(i + 1, j + 1) : 0;
    const passed = this.#mayLack(i, j) ? this.#count(i, j + 1) : 0;
    this.#ways.set(at, Math.min(2, taken + passed));
    return Math.min(2, taken + passed);
  }

  #fits(i: number, j: number): boolean {
    const column = this.#columns[i];
    const attribute = this.#attributes[j] as Attribute;
    if (column === undefined) return false;
    if (attribute.dropped || this.#known.stamps.get(attribute.attnum) !== attribute.stamp) return true;
    return column.name === attribute.name && column.typeOid === attribute.typeOid && column.typmod === attribute.typmod;
  }

  /** Whether the Relation may be without this column although it has the first `i`. */
  #mayLack(i: number, j: number): boolean {
    const { attnum, dropped, sent } = this.#attributes[j] as Attribute;
    if (dropped) return true;
    // Not there yet: then no later one was either.
    if (attnum > this.#last) return i === this.#columns.length;
    // A publication's list of columns has become another one.
    return sent !== this.#known.attnums.has(attnum);
  }
}
