import type { RowChange } from '../event/change.ts';
import type { Lsn } from '../event/lsn.ts';
import type { Position } from '../event/position.ts';
import type { TableSchema } from '../event/table.ts';
import type { Finding } from '../runtime/finding.ts';
import type { QueryResult, SinkQuery } from './query.ts';
import type { SinkVerifier } from './verifier.ts';

/**
 * A sink applies source transactions to a replica and keeps its position there, in the same transaction as the rows, so
 * that every event takes effect once, whatever dies and whenever (PROTOCOL, Applying). A session has one owner, who calls
 * one method at a time:
 *
 *     open → (begin → write* → commit | abort)* → close
 *
 * A session may collect what it is told and send it later, to save round trips: an error of `begin` or `write` may surface in a
 * later call of the same transaction, at the latest in `commit`. Only what `tryWrite` returns is about its own change.
 *
 * Errors: `sink-unreachable` is retried with a new session; `sink-data` says that the replica refuses a row (nothing of the
 * transaction took effect); `sink-conflict` and `sink-shape` ask the operator; `fenced` says that another worker has the sink.
 */
export interface Sink {
  /**
   * Set where one transaction after the other has to be written, in commit order, even when many share one at the replica: for
   * others a batch goes table by table.
   */
  readonly inCommitOrder?: boolean;
  /**
   * Set where an update has to come with its new row whole: what Postgres did not send again (unchanged TOAST) is then taken from
   * what the log holds of the row. For a sink that can lay the columns that came over a row of its own that costs more than it gives.
   */
  readonly wholeRows?: boolean;
  /**
   * Set where others can use the replica while a transaction is open: a large one is then opened while the source still sends it, and
   * committed once it is complete.
   */
  readonly staysOpen?: boolean;
  /** Every problem at once; changes nothing. */
  check(tables: readonly TableSchema[]): Promise<readonly Finding[]>;
  /** Connects, makes Tailrace's own tables where they are missing, reads the position. */
  open(options: { readonly signal: AbortSignal }): Promise<SinkSession>;
  /** Removes Tailrace's own rows for this sink; the replica's tables stay. */
  forget(): Promise<void>;
  /** For `verify`: looks at the replica beside whoever is writing it. */
  openVerifier(): Promise<SinkVerifier>;
  /** Asks the replica one question, for jobs (query.ts); not there where a replica cannot be asked. */
  query?(request: SinkQuery): Promise<QueryResult>;
}

/**
 * What a sink does when a source table changes its shape: follow it; stop and say what to run, until somebody has; or leave the
 * replica's table as it is, without new columns.
 */
export type DdlPolicy = 'apply' | 'pause' | 'ignore';

export interface SinkSession {
  /** Where the replica stands; null for a sink that never committed. Follows each commit. */
  readonly position: Position | null;
  /** Keys that may not be written until they are retried, as they stand in the replica. */
  readonly blocked: readonly BlockedKey[];
  /** How many updates and deletes of this session found no row, for tables with coverage `partial`. For people only. */
  readonly missing: number;
  /**
   * Opens a transaction at the replica and moves its position from `position` to `to`. Throws `fenced` when the position
   * found is neither the one expected nor what this session last tried to write; in the latter case resolves with
   * `'applied'`: that commit had gone through, so nothing is to be written and no commit is due.
   */
  begin(to: Position): Promise<'open' | 'applied'>;
  /** Applies changes of one table, in order. May be called again for the same table in the same transaction. */
  write(changes: TableChanges): Promise<void>;
  /**
   * As `write` for exactly one change, behind a savepoint: a refused row gives the error back instead of throwing, and the
   * transaction goes on. For dead letters only.
   */
  tryWrite(changes: TableChanges): Promise<Error | null>;
  /** Remembers blocked keys, or that a truncate has cleared a table's, in the open transaction. */
  block(keys: readonly BlockedKey[]): Promise<void>;
  unblock(table: string): Promise<void>;
  commit(): Promise<void>;
  /** Gives the open transaction up; harmless when there is none. */
  abort(): Promise<void>;
  close(): Promise<void>;
}

/** A row change, or `truncate`: everything that is in the table at this point goes. */
export type TableOperation = RowChange<TableSchema> | { readonly op: 't' };

export interface TableChanges {
  readonly table: TableSchema;
  readonly changes: readonly TableOperation[];
  /**
   * `complete`: the replica has the whole table, so an update with absent columns whose row is missing is an error
   * (`sink-data`). `copying`: the table's snapshot is under way, such an update is passed over: a later chunk brings the row.
   * `partial`: `snapshot: never`; a full update of a missing row inserts it, the rest is counted in `missing`.
   */
  readonly coverage: 'complete' | 'copying' | 'partial';
  /** When the changes were committed, microseconds since 1970 by the source's clock; told to a sink that takes transactions in commit order. */
  readonly committedAt?: bigint;
  /** The transaction that they are of; told to such a sink, too. */
  readonly place?: { readonly epoch: number; readonly commitLsn: Lsn };
  /** Whether a table's copy, `schema.table`, was complete when the changes were committed; told to such a sink, too. */
  readonly isCopied?: (table: string) => boolean;
}

/** `key` is the tuple of the key columns as text for people, unique within its table; null blocks the whole table. */
export interface BlockedKey {
  readonly table: string;
  readonly key: string | null;
  readonly reason: string;
}
