import { TupleReader } from '../event/tuple.ts';

/** Where each column of one tuple stands, for those who need columns out of order. Reused for many tuples. */
export class TupleSpans {
  readonly #reader = new TupleReader();
  bytes: Uint8Array = this.#reader.bytes;
  count = 0;
  readonly kinds = new Uint8Array(maxColumns);
  readonly starts = new Uint32Array(maxColumns);
  readonly ends = new Uint32Array(maxColumns);

  /** Reads at most the first `limit` columns of the tuple at `at`. */
  reset(bytes: Uint8Array, at: number, limit: number): this {
    const reader = this.#reader.reset(bytes, at);
    this.bytes = bytes;
    this.count = 0;
    while (this.count < limit && reader.next()) {
      const index = this.count++;
      this.kinds[index] = reader.kind;
      this.starts[index] = reader.start;
      this.ends[index] = reader.end;
    }
    return this;
  }
}

/** Postgres has at most 1,600 columns in a table (MaxHeapAttributeNumber). */
export const maxColumns = 1600;
