import { KIND_ABSENT, KIND_BINARY, KIND_NULL, TupleReader } from '../../event/tuple.ts';
import type { ReplicaColumn, ReplicaTable } from './replica-table.ts';
import { type SqliteValue, toSqlite } from './representation.ts';

const tuple = new TupleReader();

/** One tuple as the values to bind, in the order of the replica's columns. Reused for row after row. */
export class RowImage {
  readonly values: SqliteValue[];
  /** 1 for each column that the tuple lacks. */
  readonly absent: Uint8Array;
  absentCount = 0;
  readonly #table: ReplicaTable;

  constructor(table: ReplicaTable) {
    this.#table = table;
    this.values = table.columns.map(() => null);
    this.absent = new Uint8Array(table.columns.length);
  }

  /** Throws a `RangeError` for a value that SQLite cannot hold. */
  read(bytes: Buffer, at: number): void {
    const { columns, index } = this.#table;
    this.absentCount = 0;
    tuple.reset(bytes, at);
    while (tuple.next()) {
      const place = index[tuple.index];
      if (place === undefined) throw new RangeError('a row that is wider than its table');
      if (place < 0) continue;
      this.absent[place] = 0;
      if (tuple.kind === KIND_NULL) this.values[place] = null;
      else if (tuple.kind === KIND_ABSENT) {
        this.absent[place] = 1;
        this.absentCount++;
      } else if (tuple.kind === KIND_BINARY) throw new RangeError('a value in binary form');
      else this.values[place] = toSqlite((columns[place] as ReplicaColumn).form, bytes, tuple.start, tuple.end);
    }
    if (tuple.columns !== index.length) throw new RangeError('a row that is narrower than its table');
  }

  /** Takes the columns that this image lacks from an older one of the same row; all of them, or those of the key. */
  fill(older: RowImage, columns: Iterable<number>): void {
    for (const place of columns) {
      if (this.absent[place] !== 1 || older.absent[place] === 1) continue;
      this.values[place] = older.values[place] as SqliteValue;
      this.absent[place] = 0;
      this.absentCount--;
    }
  }

  /** Whether both name the same row by these columns. */
  same(other: RowImage, columns: readonly number[]): boolean {
    return columns.every((place) => sameValue(this.values[place] as SqliteValue, other.values[place] as SqliteValue));
  }
}

function sameValue(a: SqliteValue, b: SqliteValue): boolean {
  return a === b || (a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0);
}
