import type { TableDigests } from '../event/digest.ts';
import type { TableSchema } from '../event/table.ts';
import type { BlockedKey } from './sink.ts';

/**
 * A replica as `verify` looks at it: beside the sink's worker, through connections of its own, and without changing
 * anything, not even Tailrace's own tables where they are missing. Nothing is locked that would hold the worker up.
 *
 * Errors: `sink-unreachable`, `sink-refused`.
 */
export interface SinkVerifier {
  /** Keys that wait for a dead letter to be retried: the replica is not whole for them. */
  blocked(): Promise<readonly BlockedKey[]>;
  /** Where the sink's config puts this table, as it stands there; null when it is not there. */
  table(table: TableSchema): Promise<ReplicaView | null>;
  close(): Promise<void>;
}

export interface ReplicaView {
  /** Its name at the replica, for people. */
  readonly name: string;
  /** Indexes into the source table's columns that the replica holds, ascending; those that are left out are not among them. */
  readonly columns: readonly number[];
  /** Indexes of columns that the replica should hold and does not have (yet). */
  readonly missing: readonly number[];
  /** Over `columns`. */
  readonly digests: TableDigests;
}
