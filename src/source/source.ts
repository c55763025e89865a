import type { SourceItem } from '../event/change.ts';
import type { Lsn } from '../event/lsn.ts';
import type { TableShape } from '../event/table.ts';
import type { Finding } from '../runtime/finding.ts';
import type { CatalogReader, KnownTable } from './catalog.ts';
import type { SourceVerifier } from './verifier.ts';

/**
 * A source is a stream of whole transactions in commit order, a position that is acknowledged later and separately, and a
 * way to read the rows that stood there before. Pulling is the back-pressure: while nobody asks for the next batch the
 * socket is not read, memory stays bounded, and keepalives are still answered.
 *
 * - The stream begins at the slot's confirmed position and may repeat transactions that the log already holds: the publisher
 *   passes over what is not above its last END.
 * - Nothing is acknowledged but what `acknowledge` was given; a keepalive is answered with that.
 * - A source changes nothing on the server that the config did not ask for, and never delays its shutdown.
 */
export interface Source {
  /** Every problem at once; changes nothing. */
  check(): Promise<SourceCheck>;
  /**
   * Makes what is missing (publication first, then slot), takes the slot, and returns once START_REPLICATION has succeeded:
   * from then on nobody else can acknowledge. Throws `slot-in-use`, `slot-lost`, `source-…`.
   */
  connect(options: { readonly signal: AbortSignal }): Promise<SourceSession>;
  /** How the slot stands while nobody has it, by a connection of its own; null where there is none. Throws `source-…`. */
  slotHealth(options: { readonly signal: AbortSignal }): Promise<SourceHealth | null>;
  /** Drops the slot and publication that Tailrace made; returns what was dropped, in words. */
  teardown(): Promise<readonly string[]>;
  /** For `verify`: looks at the rows as they are, beside whoever captures them. */
  openVerifier(): Promise<SourceVerifier>;
}

export interface SourceCheck {
  readonly findings: readonly Finding[];
  /** What would be captured, so that the sinks can be asked about it; empty when it can't be known. */
  readonly tables: readonly TableShape[];
}

export interface SourceSession {
  readonly server: SourceServer;
  /** The captured tables as the catalog had them when they were first seen; the stream says what they were at its position. */
  readonly tables: readonly TableShape[];
  /** Tables that match the config and are left out, each with the reason and the remedy. */
  readonly leftOut: readonly Finding[];
  /** What has become of the tables, beside what the stream says of it. */
  readonly catalog: CatalogReader;
  /**
   * Batches of items, in order, a batch for whatever one read brought; one consumer. `known` is what the log has of the tables
   * where the stream begins: what their columns are is told from there on. A table's shape changes by a new
   * `TableShape` object on its rows; the same object means the same shape. Ends when the session is closed; throws
   * `source-unreachable` when the connection is lost.
   */
  batches(known?: readonly KnownTable[]): AsyncIterable<readonly SourceItem[]>;
  /** Everything up to `position` is durable in the log: sent to the server soon, and as the answer to keepalives. */
  acknowledge(position: Lsn): void;
  readonly snapshots: SnapshotReader;
  /** How the slot stands, for status, metrics and the warning before WAL runs short. Throws `source-unreachable`. */
  health(): Promise<SourceHealth>;
  /**
   * Looks for tables that have come since and that the config wants, and captures them; those that are new. To be asked from
   * time to time: it is cheap while nothing has changed. Throws `source-unreachable` where a captured table is one no more.
   */
  discover(): Promise<readonly TableShape[]>;
  /** Ends `batches()` after what was already read; the connection stays, so that the rest can still be acknowledged. */
  stop(): void;
  /** Sends the last acknowledgement and ends every connection. */
  close(): Promise<void>;
}

export interface SourceServer {
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** Where the current timeline branched off the one before it; undefined on timeline 1 or when not known. */
  readonly timelineSwitch: Lsn | undefined;
  readonly slot: string;
  /** The slot's `confirmed_flush_lsn` when it was taken. */
  readonly confirmedFlush: Lsn;
  /** The server's own flushed WAL position when the slot was taken: a server behind our last END was rewound. */
  readonly walFlushed: Lsn;
  /** Whether this very call made the slot. */
  readonly slotCreated: boolean;
  readonly database: string;
}

export interface SourceHealth {
  readonly slot: string;
  /** Bytes of WAL that the server keeps for the slot. */
  readonly walHeldBytes: number;
  /** Bytes that may still be written before the slot is in danger of being lost; null without a limit. */
  readonly safeWalSize: number | null;
  /** As `pg_replication_slots.wal_status`: reserved, extended, unreserved; lost for every kind of invalidation. */
  readonly walStatus: string;
  readonly slotActive: boolean;
  readonly restartLsn: Lsn | null;
  readonly confirmedFlush: Lsn | null;
}

/**
 * Reads the rows that are there, a chunk at a time (PROTOCOL, Snapshots). A chunk stands between two transactional logical
 * messages that the stream brings back as `m` items with prefix `watermarkPrefix` and the content given here.
 */
export interface SnapshotReader {
  /**
   * Resolves once every transaction has ended that was running when the table entered the publication: before that, a
   * change may be missing from the stream. `onWait` hears which session is waited for.
   */
  entered(table: TableShape, options: { signal: AbortSignal; onWait: (session: string) => void }): Promise<void>;
  /** Writes a watermark and resolves when it is committed. */
  watermark(content: string): Promise<WatermarkWritten>;
  /**
   * Low watermark, rows in key order up to about `maxBytes` and `maxRows`, high watermark. The caller compares the chunk's
   * snapshot and shapes with what it streamed and reads again when it must. May be called while others are being read: each
   * takes a connection of its own. Null when the table is not there any more.
   */
  chunk(request: ChunkRequest): Promise<Chunk | null>;
  /** Throws `usage` unless it is one condition that the rows of the table can be asked for. */
  checkWhere(table: TableShape, where: string): Promise<void>;
  /** Keys that cut the table into about `parts` equal stretches, in key order; none where it is small, gone, or nothing is known. */
  boundaries(table: TableShape, parts: number): Promise<readonly (readonly string[])[]>;
  /**
   * Every row of a table without a key, in one REPEATABLE READ snapshot, in blocks of about 1 MiB. `visibility` is known before
   * the first block. Null when the table is not there any more.
   */
  whole(table: TableShape, signal: AbortSignal): Promise<WholeTable | null>;
  /** Reltuples-like estimate for progress displays; undefined when unknown. */
  estimate(table: TableShape): Promise<number | undefined>;
}

export const watermarkPrefix = 'tailrace.watermark';

export interface WatermarkWritten {
  /** An LSN at or behind the watermark's commit. */
  readonly lsn: Lsn;
}

export interface ChunkRequest {
  readonly table: TableShape;
  /** Contents of the two watermarks. */
  readonly low: string;
  readonly high: string;
  /** The texts of the key columns, in key order: rows behind this key are read. Null: from the first one on. */
  readonly after: readonly string[] | null;
  /** And up to this key, with it; without it to the last one. */
  readonly until?: readonly string[] | null;
  /** When set, the chunk is these keys' rows instead of a range: keys whose full image the stream did not bring. */
  readonly keys: readonly (readonly string[])[] | null;
  /** Only rows that fulfil this condition, in the source's own language. */
  readonly where?: string | null;
  readonly maxRows: number;
  readonly maxBytes: number;
  /** Where the rows may be put: then they last until the next chunk is asked for with it. */
  readonly memory?: RowMemory;
  readonly signal: AbortSignal;
}

/** Bytes that one chunk after the other is read into: a fresh block of some MiB a chunk is what the garbage collector then has to find. */
export interface RowMemory {
  bytes: Uint8Array;
}

export interface Chunk {
  readonly rows: RowBlock;
  readonly visibility: Visibility;
  /** Whether the catalog's state of the table was the same at the low watermark, in the chunk's snapshot and at the high one. */
  readonly stable: boolean;
  /** The partitions whose rows may be among the chunk's, as `CatalogReader.find` takes them. */
  readonly partitions: readonly string[];
  /** The table as the chunk saw it; its rows have these columns. */
  readonly shape: TableShape;
  /** Nothing of what was asked for lies behind the last row of this chunk. */
  readonly last: boolean;
}

/** `pg_current_snapshot()`: a transaction is visible if its id is below `xmin`, or below `xmax` and not in `running`. */
export interface Visibility {
  readonly xmin: bigint;
  readonly xmax: bigint;
  readonly running: readonly bigint[];
}

/** Rows as tuples: row i begins at `starts[i]` in `bytes` and ends where the next begins, the last one at `length`. */
export interface RowBlock {
  readonly bytes: Uint8Array;
  readonly starts: Uint32Array;
  readonly count: number;
  readonly length: number;
}

export interface WholeTable {
  readonly visibility: Visibility;
  readonly shape: TableShape;
  /** An LSN read after the snapshot was taken: transactions that commit behind it are not visible in it. */
  readonly lsn: Lsn;
  blocks(): AsyncIterable<RowBlock>;
  /** As of a chunk. */
  readonly partitions: readonly string[];
  /** To be asked behind the last block: whether the rows are of this shape, and of no other table or partition. Else they count for nothing. */
  isStable(): Promise<boolean>;
  /** Gives the snapshot up, read or not. */
  close(): Promise<void>;
}
