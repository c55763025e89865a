import type { TableShape, TableState } from '../event/table.ts';
import type { Visibility } from './source.ts';

/**
 * The stream says what a table looks like only with its next row, and of some changes nothing at all: a default that rows from
 * before have, rows rewritten by ALTER TABLE, a table that was out of the publication for a while. So the catalog is watched
 * (PROTOCOL, Shape). A look stands at a place in the stream: between what is read before and what is read behind a watermark
 * nothing has changed, and so it is what the tables were at the watermark.
 */
export interface CatalogReader {
  /**
   * Resolves once the catalog says of one of `tables` something else than is known: by cheap questions, from time to time, the
   * first one at once. `settled` is called when nothing was found to differ. Throws `source-unreachable`
   * where only a new connection can follow: tables have come, or the publication has gone.
   */
  changed(tables: () => readonly KnownTable[], options: { readonly signal: AbortSignal; readonly settled: () => void }): Promise<void>;
  /** Asks at the next opportunity: the stream has shown a new shape. */
  nudge(): void;
  /** Reads the tables that differ from what is known, with a watermark of this content. */
  look(content: string, tables: readonly KnownTable[]): Promise<CatalogLook>;
  /** A partition of `PartitionMet` or `Chunk.partitions` as this state has it, told by its place in the table; null when by it the table's rows are not those of the partition. */
  find(state: TableState, partition: string): string | null;
  /** The look's watermark was reached in the stream, and its tables are what is known from here on. */
  accept(tables: readonly TableLook[]): void;
}

/** A table as the log has it. */
export interface KnownTable {
  /** As it was at the last look; where there was none yet, as it is called now. */
  readonly shape: TableShape;
  /** Of the last look; null when there was none. */
  readonly state: TableState | null;
  /** Since the last look the stream has brought rows whose columns could not be told for certain. */
  readonly uncertain: boolean;
  /** Since the last look the stream has brought a truncate of it. */
  readonly truncated: boolean;
  /** Partitions that the stream or a copy has brought rows of, and no look has judged. */
  readonly unsettled: readonly string[];
}

export interface CatalogLook {
  /** Transactions that were streamed before the watermark have to be visible in it: else the look says nothing. */
  readonly visibility: Visibility;
  /** What differs from what is known and was the same before and behind the watermark. */
  readonly tables: readonly TableLook[];
  /** Relids of tables that are not there any more. */
  readonly gone: readonly number[];
}

export interface TableLook {
  readonly shape: TableShape;
  readonly state: TableState;
  /** The `KnownTable.unsettled` that it has judged. */
  readonly settled: readonly string[];
  /** Set when rows may not be what their events have made of them. */
  readonly doubt: Doubt | null;
}

export interface Doubt {
  readonly reason: string;
  /** Whether replicas may have rows that the table does not have: they have to be emptied. Else new rows go over the old ones. */
  readonly surplus: boolean;
}
