import type { RowChange, TransactionBegin, TruncateChange, MessageChange } from '../event/change.ts';
import type { RegisteredSchema, TableSchema, TableShape } from '../event/table.ts';
import type { Finding } from '../runtime/finding.ts';
import type { Slice } from '../runtime/slice.ts';

/**
 * A codec turns one change into the key and the value of a record, and back. It knows nothing of topics or offsets; the
 * record header that orders and routes (pipeline/record-header.ts) is not its concern.
 *
 * What must be true of every codec:
 * - **Lossless.** `decode(encode(change))` is the same change, value by value in Postgres's own text, including what an
 *   image lacks: absent stays absent and never becomes NULL or a magic string. What the format itself can't say travels
 *   in `Encoded.extra`, or `encode` throws.
 * - **Stable.** Bytes written by one version are read by the next; golden files hold it.
 * - **The key decides the partition** and the order: equal keys of a table give equal key bytes, whatever the op. A table
 *   without a key has a null key.
 * - **No allocation a row** where the format allows it: `encode` writes into scratch memory of its own and hands out
 *   slices, good until the next call; `decode` returns views over the record.
 *
 * A key change travels as two records with one ordinal, linked by their header (`half`): the old key's half, which
 * foreign consumers see as a delete, and the new key's half, which carries the whole change. Only the second is decoded.
 */
export interface Codec {
  readonly name: 'tuple' | 'json' | 'avro';
  /** The number that stands for this codec in the record header. */
  readonly id: number;

  /**
   * For a format whose records name a schema that readers look up by an id: makes the schemas of a table and has them
   * registered, before the first record of that shape. What it returns becomes part of the table's version
   * (`TableSchema.registered`), which is durable before the first record that names an id. So nobody who has the version asks
   * a registry, and an id that `known` has (what the log's versions hold so far) is not asked for again. Throws `registry-…`.
   */
  readonly prepare?: (table: TableShape, topic: string, known: readonly RegisteredSchema[]) => Promise<readonly RegisteredSchema[]>;
  /** Every problem with what the format needs outside of the log, at once; changes nothing. */
  readonly check?: () => Promise<readonly Finding[]>;

  /**
   * Fills `out`. `table` is the version that the change is written under; it has the shape of the change's own table. For a key
   * change this is the new half: key of the new row, value with everything.
   */
  encodeRow(change: RowChange, table: TableSchema, context: EncodeContext, out: Encoded): void;
  /** The old half of a key change: the record that takes the old key's row away. */
  encodeOldHalf(change: RowChange, table: TableSchema, context: EncodeContext, out: Encoded): void;
  /** A truncate of one table; the same value goes to each of its partitions. */
  encodeTruncate(change: TruncateChange<TableSchema>, table: TableSchema, context: EncodeContext, out: Encoded): void;
  /** A logical message (op `m`); `table` is `noTable`, or a version of it where the format has schemas. */
  encodeMessage(change: MessageChange, table: TableSchema, context: EncodeContext, out: Encoded): void;

  /** The inverse of `encodeRow`. Throws `log-damaged` when the value does not fit the table's schema. */
  decodeRow(record: EncodedRow, table: TableSchema): RowChange<TableSchema>;

  /** The inverse of `encodeMessage`. Throws `log-damaged`. */
  decodeMessage(value: Slice, ordinal: number): MessageChange;

  /**
   * Set where readers of the format expect the new row whole when the old one came whole (replica identity full): what Postgres did
   * not send again is then written from there. Without it such a value stands in the record once.
   */
  readonly wholeAfter?: boolean;
  /**
   * Whether the format deletes a key with a second record, a tombstone (null value), for compaction's sake. The publisher
   * writes it behind a delete and behind an old half; it is no event and is not counted.
   */
  readonly tombstones: boolean;
}

/** What an envelope says beyond the row itself. */
export interface EncodeContext {
  readonly pipeline: string;
  readonly database: string;
  readonly transaction: TransactionBegin;
  /** Milliseconds since 1970 when the publisher took the change, by its own clock: for people only. */
  readonly processedAt: number;
}

/** One record's content, written by `encode…`; a key or value whose `start` is -1 is null. */
export interface Encoded {
  readonly key: Slice;
  readonly value: Slice;
  /** What the format can't say; `start` is -1 when there is nothing. Becomes a header of the record. */
  readonly extra: Slice;
}

/** One record's content as it is read back. */
export interface EncodedRow {
  readonly op: RowChange['op'];
  readonly ordinal: number;
  readonly key: Slice;
  readonly value: Slice;
  readonly extra: Slice;
}

/** A slice that says null. */
export function nullSlice(): Slice {
  return { bytes: new Uint8Array(0), start: -1, end: -1 };
}

export function newEncoded(): Encoded {
  return { key: nullSlice(), value: nullSlice(), extra: nullSlice() };
}
