import type { StatusError } from '../status.ts';

/**
 * What `verify` found. Plain data, as JSON takes it. Keys are told, other values never are.
 *
 * - `equal`: every row, as far as the two sides can be compared while both move.
 * - `different`: certain, whatever else is open.
 * - `unconfirmed`: rows differ, and the sink did not come far enough to say whether it is only behind.
 * - `unsettled`: rows that differ changed whenever they were looked at.
 * - `copying`: the table's copy for this sink is not complete.
 * - `gone`: the source has no such table any more.
 */
export type TableState = 'equal' | 'different' | 'unconfirmed' | 'unsettled' | 'copying' | 'gone';

export interface TableReport {
  readonly table: string;
  readonly state: TableState;
  /** Rows at the source when they were counted; null when they were not. */
  readonly rows: number | null;
  /** How many rows certainly differ, and at most `shownRows` of them. */
  readonly differing: number;
  /** There are more suspects than were looked at. */
  readonly more: boolean;
  readonly differences: readonly RowDifference[];
  /** Rows that are `unconfirmed` and `unsettled`. */
  readonly unconfirmed: number;
  readonly unsettled: number;
  /** The whole table is missing, although the source has rows. */
  readonly tableMissing: boolean;
  /** Columns that the replica lacks, although rows have values in them. */
  readonly columnsMissing: readonly string[];
  /** For people. */
  readonly notes: readonly string[];
}

export interface RowDifference {
  readonly kind: 'missing' | 'extra' | 'changed' | 'count';
  /** The key by column; null in a table without a key. */
  readonly key: Readonly<Record<string, string>> | null;
  /** Names of columns with other values, for `changed`. */
  readonly columns: readonly string[];
  /** Without a key: the row's hash, and how many such rows each side has. */
  readonly hash: string | null;
  readonly source: number | null;
  readonly replica: number | null;
}

export interface SinkVerification {
  readonly sink: string;
  readonly tables: readonly TableReport[];
  /** Keys that wait for a dead letter to be retried: known to differ. */
  readonly blocked: readonly { readonly table: string; readonly key: string | null }[];
  /** Why the sink was not waited for any longer, and how far it is behind the source in bytes of WAL. */
  readonly standstill: { readonly reason: 'never-started' | 'not-running' | 'stalled'; readonly endLsn: string | null; readonly lagBytes: number | null } | null;
  /** Why it could not be verified, or not to the end. */
  readonly error: StatusError | null;
}

/** Differing rows that are named, by table. */
export const shownRows = 20;

/** 4: certainly different · 3: cannot be said now · 1: never came to rest · 0: equal. */
export function exitCodeOf(sinks: readonly SinkVerification[]): 0 | 1 | 3 | 4 {
  const states = new Set(sinks.flatMap(({ tables }) => tables.map(({ state }) => state)));
  if (states.has('different') || sinks.some(({ blocked }) => blocked.length > 0)) return 4;
  if (states.has('unconfirmed') || states.has('copying') || states.has('gone') || sinks.some(({ error }) => error !== null)) return 3;
  return states.has('unsettled') ? 1 : 0;
}

export function emptyReport(table: string, state: TableState): TableReport {
  return {
    table, state, rows: null, differing: 0, more: false, differences: [], unconfirmed: 0, unsettled: 0, tableMissing: false, columnsMissing: [], notes: [],
  };
}
