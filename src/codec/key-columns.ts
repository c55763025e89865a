import type { RowChange } from '../event/change.ts';
import { type TableShape, tableName } from '../event/table.ts';
import { KIND_ABSENT } from '../event/tuple.ts';
import { TailraceError } from '../runtime/errors.ts';
import { TupleSpans } from './tuple-spans.ts';

/** Finds the key columns of a change in its old or new image, in the order of `table.key`. Reused for many changes. */
export class KeyColumns {
  readonly #images = { old: new TupleSpans(), new: new TupleSpans() };
  #table: TableShape | undefined;
  #limit = 0;

  /** Points at the change's images; afterwards `find` may be called. */
  reset(change: RowChange): void {
    const { table, bytes, oldAt, newAt } = change;
    if (table !== this.#table) {
      this.#table = table;
      this.#limit = 0;
      for (const index of table.key) if (index >= this.#limit) this.#limit = index + 1;
    }
    const { old, new: next } = this.#images;
    if (oldAt >= 0) old.reset(bytes, oldAt, this.#limit);
    else old.count = 0;
    if (newAt >= 0) next.reset(bytes, newAt, this.#limit);
    else next.count = 0;
  }

  /**
   * The image that holds key column `index`. A key column can be TOASTed too: where it is unchanged the new row lacks it,
   * and Postgres sends the old key along for that reason (heapam.c, ExtractReplicaIdentity).
   */
  find(index: number, half: 'old' | 'new'): TupleSpans {
    const image = this.#images[half];
    if (index < image.count && image.kinds[index] !== KIND_ABSENT) return image;
    const other = this.#images.old;
    if (half === 'new' && index < other.count && other.kinds[index] !== KIND_ABSENT) return other;
    const table = this.#table as TableShape;
    throw new TailraceError('source-unreadable', `a change of ${tableName(table)} lacks key column ${table.columns[index]?.name}`);
  }

  /** Whether the old and the new image name different keys; false when there is no old image or no key. */
  changed(): boolean {
    const { old } = this.#images;
    if (old.count === 0) return false;
    return (this.#table as TableShape).key.some((index) => {
      const image = this.find(index, 'new');
      return image !== old && !sameValue(old, image, index);
    });
  }
}

function sameValue(a: TupleSpans, b: TupleSpans, index: number): boolean {
  if (a.kinds[index] !== b.kinds[index]) return false;
  const start = a.starts[index] as number;
  const size = (a.ends[index] as number) - start;
  const otherStart = b.starts[index] as number;
  if ((b.ends[index] as number) - otherStart !== size) return false;
  for (let i = 0; i < size; i++) if (a.bytes[start + i] !== b.bytes[otherStart + i]) return false;
  return true;
}
