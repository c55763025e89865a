import type { Position } from '../event/position.ts';

/**
 * A replica as jobs ask it: one query in one snapshot, together with the position that the snapshot shows. Through a connection of
 * its own, which holds up nobody and, but for `into`, changes nothing.
 *
 * Errors: `sink-unreachable`, `sink-refused`; `job-query` when the replica does not accept the query, when it takes too long, or when
 * its result is too large.
 */
export interface SinkQuery {
  readonly sql: string;
  /** A table at the replica that the result becomes, in place of what stood there, in one transaction; null: rows are given back. */
  readonly into: string | null;
  readonly timeoutMs: number;
  /** Bytes of text that a result may have. */
  readonly maxBytes: number;
}

export interface QueryResult {
  /** Where the replica stood; null when its sink had never committed. */
  readonly position: Position | null;
  readonly columns: readonly string[];
  /** Values as the replica writes them; empty where the result became a table. */
  readonly rows: readonly (readonly (string | null)[])[];
  /** Rows of the result, given back or not. */
  readonly count: number;
}
