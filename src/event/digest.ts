/**
 * What stands in a table, told by hashes: how two sides that share neither a server nor a collation are compared without
 * carrying their rows. A row's hash is the first 8 bytes of the MD5 of its text (row-text.ts) over the compared columns, in
 * UTF-8. A row lies in the bucket that its hash names: a table without a key is no other case than one with a key, and no side
 * has to sort.
 */

/** Which row: the key's texts in key order, as JSON; in a table without a key the row's hash, 16 hexadecimal digits. */
export type RowId = string;

/**
 * What a row is on one side, to be compared as it stands: with a key, the hash of each compared column, 16 hexadecimal digits
 * or `-` for NULL, separated by commas; without a key, how many such rows there are.
 */
export type RowState = string;

/** Rows by bucket; bucket i holds the rows whose hash is i in its low bits. Sums of hashes are modulo 2^64. */
export interface Buckets {
  readonly counts: Float64Array;
  readonly sums: BigUint64Array;
}

/** A selection of buckets. `of` is their number, a power of two up to 65,536. */
export interface BucketSelection {
  readonly of: number;
  readonly buckets: readonly number[];
}

/** One side of one table, with the compared columns in the source's order. Each call reads one state of the table. */
export interface TableDigests {
  /** One scan. */
  buckets(of: number): Promise<Buckets>;
  /** One scan: the rows in these buckets, by id; the value is the row's hash, or the count without a key. */
  rows(selection: BucketSelection): Promise<ReadonlyMap<RowId, string>>;
  /** These rows as they are now; those that are not there are left out. Without a key this is a scan. */
  look(ids: readonly RowId[]): Promise<ReadonlyMap<RowId, RowState>>;
}
