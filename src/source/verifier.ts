import type { RowId, RowState, TableDigests } from '../event/digest.ts';
import type { Lsn } from '../event/lsn.ts';
import type { TableShape } from '../event/table.ts';

/**
 * The source as `verify` looks at it: read-only, with no lock that an application would wait for but for the moment of a
 * scan (ACCESS SHARE). The one thing that it writes are markers: transactional logical messages, which move the stream on
 * when nothing else does.
 *
 * Errors: `source-unreachable`, `source-refused`.
 */
export interface SourceVerifier {
  /** Null when the role may not know it. */
  readonly systemIdentifier: string | null;
  /** The table as the stream would show it now; null when it is gone. */
  shape(relid: number): Promise<TableShape | null>;
  /** Whether it is still there; waits for no lock, as `shape` does where somebody alters the table. */
  exists(relid: number): Promise<boolean>;
  /** Rows, roughly, from statistics; undefined when unknown. */
  estimate(relid: number): Promise<number | undefined>;
  /** Over these of the shape's columns, given by index. */
  digests(shape: TableShape, columns: readonly number[]): SourceDigests;
  /** Whether a row has a value in one of these columns. */
  hasValues(shape: TableShape, columns: readonly number[]): Promise<boolean>;
  /** Writes a marker and returns an LSN before it: whatever was visible to anybody before this call had committed below it. */
  marker(): Promise<Lsn>;
  /** Whether anybody reads this slot now. */
  isRead(slot: string): Promise<boolean>;
  close(): Promise<void>;
}

/** Prefix of the markers; the stream passes over them. */
export const verifyPrefix = 'tailrace.verify';

export interface SourceDigests extends TableDigests {
  /** As `look`, with what tells whether the row was the same all the time between two looks. */
  watch(ids: readonly RowId[]): Promise<ReadonlyMap<RowId, WatchedRow>>;
  /**
   * The transactions that hold a lock for writing on the table, by a name that is theirs while they run. A commit is in the
   * WAL, and so at the replica, before others can see it, by as long as a synchronous standby takes; until then its
   * transaction is among these.
   */
  writers(): Promise<ReadonlySet<string>>;
}

export interface WatchedRow {
  readonly state: RowState;
  /** Names the row's version: two looks that find the same one found the row unchanged in between. Null without a key. */
  readonly version: string | null;
  /** Nobody has changed or deleted this version, not even in a transaction that is not visible yet. */
  readonly quiet: boolean;
}
