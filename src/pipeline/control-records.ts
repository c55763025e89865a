import type { Lsn } from '../event/lsn.ts';
import type { TableFilter } from '../event/table-pattern.ts';
import type { RegisteredSchema, SchemaVersion, TableShape, TableState } from '../event/table.ts';

/**
 * The records of the topics that hold no events: JSON, one object a record, told apart by `type`. LSNs are in Postgres's
 * text form and large integers are strings, so that any reader gets them exactly.
 */

/** Where a transaction stands in the log: what readers order by (PROTOCOL, Identity). */
export interface Place {
  readonly epoch: number;
  readonly commitLsn: Lsn;
}

/** In front of everything. */
export const origin: Place = { epoch: 0, commitLsn: 0n };

/** A publisher has taken the slot (PROTOCOL, START). */
export interface StartRecord {
  readonly type: 'start';
  readonly logId: string;
  readonly epoch: number;
  readonly startId: string;
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly slot: string;
  readonly tables: readonly string[];
  /** The END that it continues from. */
  readonly continues: (Place & { readonly endLsn: Lsn }) | null;
  /** Set when the config let a gap pass: what was found. Everything is copied anew and readers begin anew. */
  readonly gap: string | null;
  /** The log ends here, and goes on there (`topics copy`): nobody publishes or follows it any more. */
  readonly moved?: string;
  /**
   * It is void (epoch 0), and stands in front of everything for as long as the log is being copied from another one, of which this is
   * the id: nobody uses it until it is gone.
   */
  readonly copies?: string;
}

/** How much of a transaction one topic-partition holds, and where. */
export interface Part {
  readonly topic: string;
  readonly partition: number;
  /** Event records; tombstones and other records in between are not counted. */
  readonly count: number;
  readonly first: number;
  readonly last: number;
  /** Bytes of these records, so that a reader can plan its memory before it fetches. */
  readonly bytes: number;
}

/** A transaction is complete (PROTOCOL, END). One without parts repeats the last place and moves only `endLsn`. */
export interface EndRecord extends Place {
  readonly type: 'end';
  readonly startId: string;
  readonly endLsn: Lsn;
  /** Microseconds since 1970, by the source's clock. */
  readonly commitTime: bigint;
  /** The END with events before this one: the chain that shows a gap. */
  readonly previous: Place;
  readonly parts: readonly Part[];
  readonly snapshot: SnapshotPart | null;
  /** Of a stream's results: the place in the pipeline's own log up to which they are computed. */
  readonly input?: Place | null;
  /** What tables are from here on, whether a row says so or not, in order; written only where there is something to say. */
  readonly shapes?: readonly ShapePart[];
}

/** A table has this version of its schema at the latest behind this transaction. */
export interface ShapePart {
  readonly table: string;
  readonly version: SchemaVersion;
  /** Rows may be missing or other ones until the next copy of the table is complete: one that follows begins with a new END. */
  readonly doubtful: boolean;
}

/** The END carries a snapshot's rows, and confirms the `schema` record of this id. */
export interface SnapshotPart {
  readonly record: string;
  readonly table: string;
  /** The first piece of a copy, the last one, both, or neither. */
  readonly first: boolean;
  readonly last: boolean;
  /** The sink that asked; others pass over it. Null: for all. */
  readonly sink: string | null;
}

/**
 * What the log holds so far of a transaction that has no END yet (PROTOCOL, PROGRESS). Nothing exists by it: whoever takes these events
 * keeps them to himself until the END has come, and lets go of them where another record comes in its place.
 */
export interface ProgressRecord extends Place {
  readonly type: 'progress';
  readonly startId: string;
  /** As the END would have them, if there were no more. */
  readonly parts: readonly Part[];
}

export type TransactionRecord = StartRecord | EndRecord | ProgressRecord;

/** A version of a table's schema; durable before the first event that names it. */
export interface VersionRecord {
  readonly type: 'version';
  readonly version: SchemaVersion;
  readonly shape: TableShape;
  /** Of a format with schemas of its own: what its records name by id, so that nobody needs the registry to read them. */
  readonly registered?: readonly RegisteredSchema[] | undefined;
}

/** The texts of the key columns, in key order. */
export type Key = readonly string[];

/** A stretch of a table in the order of its key: what lies behind `after`, up to `until` and with it. Null: the end on that side. */
export interface KeyRange {
  readonly after: Key | null;
  readonly until: Key | null;
}

/**
 * How far a table's copy is. Written `confirmed: false` before the END that carries the rows, and again as confirmed
 * behind it; a record that was never confirmed counts if an END names it.
 */
export interface SnapshotRecord {
  readonly type: 'snapshot';
  readonly id: string;
  readonly confirmed: boolean;
  readonly table: string;
  readonly relid: number;
  readonly sink: string | null;
  /** The id of the sink's ask, or of the order, that this copy answers. */
  readonly ask: string | null;
  /** Only rows that fulfil this condition, over what replicas have: it says nothing of whether they have the table. */
  readonly where: string | null;
  readonly first: boolean;
  /** Nothing is left to be read. */
  readonly last: boolean;
  /** The id of the copy's first record: keys to be read again name it. */
  readonly copy: string;
  /** Names of the key columns: `ranges` and `rereads` mean nothing for another key. */
  readonly key: readonly string[];
  /** What of the key's order is still to be read; nothing once all of it was, and for a table without a key. */
  readonly ranges: readonly KeyRange[];
  /** Rows so far, for people. */
  readonly rows: number;
  /** Keys whose full image must still be read (partial key changes while the copy ran). */
  readonly rereads: readonly Key[];
  /** Where the END that confirms it is looked for: not below this offset of `transaction`. */
  readonly from: number;
  /** The place of that END; of a copy that counts no longer mostly that of the transaction from which on. */
  readonly place: Place;
  /** The place of the first END of this copy: where a new sink begins. */
  readonly begin: Place;
  /** A table without a key: transactions visible in this snapshot are left out until the stream has passed `lsn`. */
  readonly visibility: { readonly xmin: string; readonly xmax: string; readonly running: readonly string[]; readonly lsn: Lsn } | null;
}

/**
 * Rows whose key a partial update changed while the copy ran: their full image is nowhere in the stream. Written before the
 * END of that transaction, and part of the copy's own record from the next one on. One too many does no harm.
 */
export interface RereadRecord {
  readonly type: 'reread';
  /** `SnapshotRecord.copy`. */
  readonly copy: string;
  readonly keys: readonly Key[];
}

/** What a command asks of the copies; durable before the command is answered. They count in the order in which they stand. */
export interface CopyOrderRecord {
  readonly type: 'copy-order';
  readonly id: string;
  /** `stop` gives up the copies of the table until one is ordered; `stop-rows` those of some rows alone. */
  readonly action: 'copy' | 'pause' | 'resume' | 'stop' | 'stop-rows';
  /** Null, for `pause` and `resume`: of every table. */
  readonly table: string | null;
  /** Of `copy`: only rows that fulfil this condition, over what replicas have. Null: the whole table, which is emptied before. */
  readonly where: string | null;
}

/**
 * What the catalog said of a table at a look (PROTOCOL, Shape), written once the END of the look's transaction is durable: what has
 * changed since the last one is looked at again after a crash.
 */
export interface LookRecord {
  readonly type: 'look';
  readonly relid: number;
  /** The table's shape at that place. */
  readonly version: SchemaVersion;
  /** The source's own; null when the table is not there any more. */
  readonly state: TableState | null;
  /** Partitions of `partition` records that this look has settled. */
  readonly settled?: readonly PartitionRecord['partition'][] | undefined;
}

/**
 * Events from here on, of the stream or of a copy, hold rows of a partition that no look had found in the table yet (PROTOCOL, Shape). Should it be gone by the next one, then
 * without an event. It counts until a look settles it.
 */
export interface PartitionRecord {
  readonly type: 'partition';
  readonly relid: number;
  /** As the source tells it; the streamed ones were numbers in logs that earlier versions wrote. */
  readonly partition: string | number;
}

export type SchemaTopicRecord = VersionRecord | SnapshotRecord | RereadRecord | CopyOrderRecord | LookRecord | PartitionRecord;

/** What a sink says of itself in its own topic. */
export type SinkRecord =
  /**
   * Which tables it takes, and from where on those of them that it does not take from the beginning. It stands at `at`, and reads
   * `transaction` from `offset` on.
   */
  | { readonly type: 'register'; readonly filter: TableFilter; readonly tables: Readonly<Record<string, Place>>; readonly at: Place; readonly offset: number }
  | { readonly type: 'ask'; readonly table: string; readonly id: string }
  | ({ readonly type: 'position'; readonly startId: string; readonly endLsn: Lsn; readonly offset: number } & Place)
  | { readonly type: 'forgotten' };

/** What became of one time of a job, in the job's own topic. Times are milliseconds since 1970. */
export interface JobRunRecord {
  readonly type: 'job-run';
  readonly id: string;
  /** `missed`: nobody was there. `skipped`: the run before was still at work. */
  readonly outcome: 'ok' | 'failed' | 'missed' | 'skipped';
  readonly scheduled: number;
  readonly started: number;
  readonly finished: number;
  readonly attempts: number;
  /** The last transaction that the replica showed. */
  readonly place: Place | null;
  readonly rows: number;
  readonly into: string | null;
  readonly error: { readonly code: string; readonly message: string; readonly remedy: string } | null;
}

export type ControlRecord = JobRunRecord | TransactionRecord | SchemaTopicRecord | SinkRecord;
