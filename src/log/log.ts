import type { Slice } from '../runtime/slice.ts';
import type { ConsumerGroups } from './groups.ts';

/**
 * A log is a set of topics; a topic has partitions; a partition is a sequence of records, each with the offset that the
 * log gave it. A log knows no events. What must be true of every log:
 *
 * - **Durable before told.** `append` resolves when everything in it survives power loss (embedded: one fdatasync of the
 *   journal; Kafka: `acks: all` by every partition). If it rejects, any part of it may or may not be there, and the writer is
 *   finished: close it, open a new one and read where the log stands.
 * - **Order.** A partition's records stand in the order of their appends, without holes below the durable end, but for what a
 *   compaction has removed: the others keep their offsets.
 * - **Readers see only what is durable,** and check it: a record whose bytes are not those that were appended is never
 *   returned, it is an error (`log-damaged`).
 * - **One writer** a topic. The embedded log holds a lock for its folder; on Kafka the protocol's START decides.
 */
export interface Log {
  /** Who may open it for writing: one process at a time, whatever the topic, or anybody, each topic for itself. */
  readonly writers: 'one' | 'many';
  /** Opens for writing. Throws `log-locked` when another process has it, `log-damaged` when recovery finds damage. */
  openWriter(): Promise<LogWriter>;
  /**
   * Waits until nobody else does `task` on this log: what one worker at a time should do, although several are there to do it. Where
   * one process has the log, at once. It saves workers from each other's way and no more: that a late one does no harm is for
   * whoever does the task to see to.
   */
  lead(task: string, signal: AbortSignal): Promise<Lead>;
  /**
   * Shares tasks out among all who call this for the same group, about as many to each, and again whenever somebody comes, goes or dies. Calls
   * `run` for each that it gets, whose signal aborts when the task is to be given up; another gets it when `run` has ended. One whose `run` ends
   * before is kept, so that nobody else fails at it. Where one process has the log it gets them all. As with `lead`, it keeps workers
   * out of each other's way and no more. Resolves after `signal`, when all have ended.
   */
  share(group: string, tasks: readonly string[], run: (task: string, signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** Opens for reading: other threads and other processes may, while the writer writes. Never creates anything. */
  openReader(): Promise<LogReader>;
  /** Where those who consume have read to. Throws `log-missing` where there is no log. */
  openGroups(): Promise<ConsumerGroups>;
}

export interface Lead {
  /** Aborts when it is no longer certain that nobody else does it. */
  readonly lost: AbortSignal;
  /** Lets the next one begin at once. */
  release(): Promise<void>;
}

export interface TopicSpec {
  readonly topic: string;
  readonly partitions: number;
}

/** What a topic is made or changed with, beyond its partitions: only a log that has such things takes them (Kafka). */
export interface TopicOptions {
  /** Copies of each partition. */
  readonly replication?: number | undefined;
  /** By the log's own names for them; null takes a setting back. */
  readonly settings?: Readonly<Record<string, string | null>> | undefined;
}

export interface TopicChange extends Pick<TopicOptions, 'settings'> {
  /** More than there are. Where the records of a key go is another place from then on. */
  readonly partitions?: number | undefined;
}

export interface LogWriter {
  /** A random id for a log that begins here: positions of one log mean nothing in another. */
  readonly logId: string;
  /** Makes the topic if it isn't there. An existing one with another partition count is an error. Durable when resolved. */
  createTopic(spec: TopicSpec, options?: TopicOptions): Promise<void>;
  /** Throws `usage` for what this log does not know, `log-settings` for what it does not take. Durable when resolved. */
  alterTopic(topic: string, change: TopicChange): Promise<void>;
  /** The topic goes, and all of its records. One that is not there is none. Durable when resolved; after a crash it is there whole or not at all. */
  deleteTopic(topic: string): Promise<void>;
  /** How many partitions a topic of events is to have: configured where the log has a use for several, else 1. */
  partitionsFor(topic: string): number;
  /** Which of so many partitions the records of a key go to: always the same one. A null key has one, too. */
  partitionOf(key: Slice, partitions: number): number;
  topics(): readonly TopicSpec[];
  /** First offset that is held, and the offset that the next record gets. */
  range(topic: string, partition: number): OffsetRange;
  /** A new, empty batch; records are encoded into it as they are added. Batches may be filled while an append is under way. */
  batch(topic: string, partition: number): BatchBuilder;
  /**
   * Appends one group. `data` is placed first, in order; `follow` is then told where each batch of `data` went and returns
   * batches that are appended behind them (ENDs, which name those offsets). Resolves with where these went. On the embedded log
   * all of it is one group and becomes durable with one fdatasync; on Kafka what follows is sent when `data` is durable. Calls
   * are not concurrent: await one before the next.
   */
  append(data: readonly BatchBuilder[], follow?: (placed: readonly Placement[]) => readonly BatchBuilder[]): Promise<readonly Placement[]>;
  /** Lets go of records below `offset`, by whole segments where the log has such: less may go, never more. */
  trim(topic: string, partition: number, offset: number): Promise<void>;
  /**
   * Begins a new segment with the next record, so that what stands before can soon go as a whole. Undefined where `trim` is
   * exact.
   */
  roll?(topic: string, partition: number): void;
  /**
   * Removes records whose key has a newer one, and in the end those that say that their key, or every key, is gone; on what is not written to
   * any more, while everything else goes on. Survives a death at any moment. Undefined where the log sees to that itself (Kafka).
   * One at a time a partition.
   */
  compact?(topic: string, partition: number, of: Compaction): Promise<Rewriting>;
  /** Makes one of `least` or more segments that lie side by side and are small. As `compact`. */
  merge?(topic: string, partition: number, least: number): Promise<Rewriting>;
  /** Bytes that all topics take on disk (on Kafka, where they are led). */
  size(): Promise<number>;
  /** A reader in another thread gets this by `postMessage` and passes it to its `openReader` (embedded log: wakes it up). */
  readonly shared: SharedArrayBuffer | undefined;
  close(): Promise<void>;
}

export interface Compaction {
  /** Records below this offset take part. Nothing that is to be read whole may stand there. */
  readonly below: number;
  /** Milliseconds that a record which says that its key is gone stays, from when the older ones of its key went. */
  readonly deleteRetention: number;
  /** What a record with a value says; one without says `delete`. Records without a key stay, unless one of them says `clear`. */
  readonly says?: (record: RecordCursor) => 'value' | 'delete' | 'clear';
  /** Begins a new segment first, so that all that is there by now takes part. */
  readonly roll?: boolean;
  /** Part of the bytes that must have come since the last time, or nothing is done; 0, the default, for all. */
  readonly leastDirty?: number;
  /** Bytes of memory for keys. */
  readonly memory?: number;
}

/** What a partition took on disk before and after its segments were written anew. */
export interface Rewriting {
  readonly before: { readonly bytes: number; readonly segments: number };
  readonly after: { readonly bytes: number; readonly segments: number };
}

export interface OffsetRange {
  readonly start: number;
  readonly end: number;
}

/** Where a batch's records went: one behind the other, unless somebody else wrote in between (a zombie, on Kafka). */
export interface Placement {
  offsetOf(index: number): number;
}

/** Collects records of one partition for one append. Not used again after the append. */
export interface BatchBuilder {
  readonly topic: string;
  readonly partition: number;
  /** Records so far. */
  readonly count: number;
  /** Encoded bytes so far. */
  readonly bytes: number;
  /** Why the log would not take this record, however it is sent; undefined when it would. To be asked before `add`. */
  oversize(draft: RecordDraft): Oversize | undefined;
  /** Copies the draft in; the caller may reuse it at once. */
  add(draft: RecordDraft): void;
}

/** A record that is larger than the log takes. */
export interface Oversize {
  /** What would be sent. */
  readonly bytes: number;
  /** For people: which limits there are, and whose. */
  readonly limits: string;
  /** What the configuration says about an event: stop in front of it, or write its key without its row. */
  readonly policy: OversizePolicy;
}

export type OversizePolicy = 'stop' | 'key-only';

/** One record to be; `start` -1 says null. `headers` are written in order. Timestamps: milliseconds since 1970. */
export interface RecordDraft {
  timestamp: number;
  readonly key: Slice;
  readonly value: Slice;
  readonly headers: readonly HeaderDraft[];
}

/** A header whose value's `start` is -1 is left out. Names are short ASCII. */
export interface HeaderDraft {
  readonly name: string;
  readonly value: Slice;
}

export interface PartitionSize {
  /** Bytes on disk (on Kafka, of the largest copy). */
  readonly bytes: number;
  /** Files that they are in; null where the log does not say (Kafka). */
  readonly segments: number | null;
}

export interface LogReader {
  /** Undefined where the log has no place of its own for one (Kafka): then the records in it say whose they are. */
  readonly logId: string | undefined;
  /**
   * Milliseconds for which a record may be late that another record, in another partition, names. 0 where records become visible in
   * the order of their appends.
   */
  readonly lateAfter: number;
  topics(): Promise<readonly TopicSpec[]>;
  range(topic: string, partition: number): Promise<OffsetRange>;
  /** What each partition of a topic takes, in their order. */
  sizes(spec: TopicSpec): Promise<readonly PartitionSize[]>;
  /**
   * Records from `offset` on, at most about `maxBytes` (one batch always comes whole); an empty cursor at the end. Throws
   * `offset-out-of-range` below the first offset held or beyond the end: nobody jumps in silence.
   */
  fetch(topic: string, partition: number, offset: number, maxBytes: number): Promise<RecordCursor>;
  /** Resolves when records from `offset` on are there, when `signal` aborts, or when a second has passed. */
  wait(topic: string, partition: number, offset: number, signal: AbortSignal): Promise<void>;
  /** The first record whose timestamp is at or after `timestamp` (milliseconds since 1970), or the end offset. */
  offsetAt(topic: string, partition: number, timestamp: number): Promise<number>;
  close(): Promise<void>;
}

/**
 * Walks fetched records without an object a record: after `next()` the fields describe the current one. Slices stay good
 * as long as their `bytes` are referenced; the cursor itself is reused.
 */
export interface RecordCursor {
  /** Offset behind the last record of this fetch: where to fetch next. */
  readonly nextOffset: number;
  /** There was nothing behind it, as far as the fetch could tell. */
  readonly isLast: boolean;
  next(): boolean;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Slice;
  readonly value: Slice;
  /** Points `out` at the value of the named header; false when the record has none. */
  header(name: string, out: Slice): boolean;
  /** Names and values of all headers, in order: for people, not for the hot path. */
  headers(): readonly (readonly [name: string, value: Slice])[];
}
