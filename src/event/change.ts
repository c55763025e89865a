import type { Lsn } from './lsn.ts';
import type { TableShape } from './table.ts';

/** Debezium's letters: create, update, delete, read (a snapshot's row), truncate, message. */
export type Op = 'c' | 'u' | 'd' | 'r' | 't' | 'm';

/**
 * What an update or a delete says of the old row. `none`: nothing (the key did not change). `key`: the tuple holds the
 * columns of the replica identity and 'n' everywhere else, which does *not* mean NULL there. `full`: the whole old row.
 */
export type OldKind = 'none' | 'key' | 'full';

/**
 * One row changed. The images are tuples (tuple.ts) inside `bytes`, a view over what came off the socket or out of the
 * log: valid as long as `bytes` is referenced, never written to.
 *
 * | op      | old                                  | new             |
 * |---------|--------------------------------------|-----------------|
 * | `c` `r` | none                                 | the row         |
 * | `u`     | none, or the old key, or the old row | the row, where columns may be absent |
 * | `d`     | the old key or the old row           | -1              |
 */
export interface RowChange<T extends TableShape = TableShape> {
  readonly op: 'c' | 'u' | 'd' | 'r';
  readonly table: T;
  /** Place in its transaction, counted over every change that the source sent, before any filter of ours. */
  readonly ordinal: number;
  readonly bytes: Uint8Array;
  readonly oldKind: OldKind;
  /** Offset of the old tuple in `bytes`, -1 for none. */
  readonly oldAt: number;
  /** Offset of the new tuple in `bytes`, -1 for none. */
  readonly newAt: number;
  /** Offset behind the last image. */
  readonly end: number;
}

/** One statement truncated these tables together. */
export interface TruncateChange<T extends TableShape = TableShape> {
  readonly op: 't';
  readonly tables: readonly T[];
  readonly ordinal: number;
  readonly cascade: boolean;
  readonly restartIdentity: boolean;
}

/**
 * `pg_logical_emit_message(true, prefix, content)`: part of its transaction. Non-transactional ones are never events. A source
 * hands out its own watermarks, and those whose prefix the config asks for.
 */
export interface MessageChange {
  readonly op: 'm';
  readonly prefix: string;
  readonly content: Uint8Array;
  readonly ordinal: number;
}

/** The stream enters a transaction. The commit LSN is known here because `streaming` and `two_phase` are off. */
export interface TransactionBegin {
  readonly op: 'begin';
  readonly commitLsn: Lsn;
  /** Microseconds since 1970-01-01 UTC, by the source's clock: for people, never for order. */
  readonly commitTime: bigint;
  /** The low 32 bits of the transaction id. */
  readonly xid: number;
}

export interface TransactionCommit {
  readonly op: 'commit';
  readonly commitLsn: Lsn;
  /** The end of the commit record: what is acknowledged once the transaction is durable. Equal to the next one's BEGIN. */
  readonly endLsn: Lsn;
  readonly commitTime: bigint;
}

/** From here on come rows of a partition, as rows of the table that it is published as. */
export interface PartitionMet {
  readonly op: 'partition';
  readonly table: TableShape;
  /** As the source tells its partitions apart. */
  readonly partition: string;
}

/** The server has sent everything up to `walEnd` that concerns us. */
export interface Keepalive {
  readonly op: 'keepalive';
  readonly walEnd: Lsn;
}

/** What a source says, in the order in which it happened: whole transactions, one after the other. */
export type SourceItem = TransactionBegin | RowChange | TruncateChange | MessageChange | TransactionCommit | PartitionMet | Keepalive;
