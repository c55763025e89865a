import type { ErrorCode } from '../runtime/error-catalogue.ts';

/**
 * Where a pipeline stands: what the progress display shows, `/status` serves and `tailrace status` prints. Plain data,
 * as JSON takes it: LSNs in Postgres's text form, times in milliseconds, `null` for what is not known.
 */
export interface PipelineStatus {
  readonly pipeline: string;
  readonly state: PipelineState;
  /** Why it is `retrying` or `stopped`. */
  readonly error: StatusError | null;
  readonly source: SourceStatus | null;
  readonly snapshot: readonly TableCopyStatus[];
  /** Tables that match the config and are left out, each with the reason. */
  readonly leftOut: readonly string[];
  /** Sinks and streams. */
  readonly sinks: readonly SinkStatus[];
  /** Nothing is known of them where no daemon runs. */
  readonly jobs: readonly JobStatus[];
  /** Null where nothing is known of it, or where the log sees to it itself (Kafka). */
  readonly compaction: CompactionStatus | null;
}

/**
 * `retrying`: the source or the log is away and tried again. `not-running`: seen from outside, no daemon has the log. `elsewhere`: this
 * process is not the one that does it (`run --role`).
 */
export type PipelineState = 'starting' | 'snapshotting' | 'streaming' | 'retrying' | 'stopped' | 'not-running' | 'elsewhere';

export interface StatusError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
}

export interface SourceStatus {
  readonly slot: string;
  readonly confirmedFlush: string | null;
  /** WAL that the server keeps for the slot. */
  readonly walHeldBytes: number | null;
  /** The end LSN of the last durable END. */
  readonly lastEnd: string | null;
  /** By the source's clock, of the last transaction with events. */
  readonly lastCommitAt: number | null;
  /** Since the daemon started. */
  readonly events: number;
  readonly transactions: number;
}

export interface TableCopyStatus {
  readonly table: string;
  readonly state: CopyState;
  /** Sink that asked for it; null: for all. */
  readonly sink: string | null;
  readonly rows: number;
  readonly estimate: number | null;
  /** Chunks that were read again because the table changed under them. */
  readonly retries: number;
  /** The session whose transaction must end before the copy can begin, or what else it waits for. */
  readonly waitingFor: string | null;
  /** The condition of a copy of some rows alone. */
  readonly where: string | null;
  /** A table without a key is copied in one piece, and no change of any table is published meanwhile. */
  readonly holdsPublishing: boolean;
  readonly error: StatusError | null;
}

/** `paused` and `stopped`: by a command. `failed`: it cannot be copied now, for its `error`, and is tried again. */
export type CopyState = 'waiting' | 'copying' | 'paused' | 'stopped' | 'failed' | 'done';

/** A sink, or a stream, which follows the log as sinks do. */
export interface SinkStatus {
  readonly name: string;
  readonly kind: 'sink' | 'stream';
  /** `standby`: another worker has it, and this one takes over when that one ends. */
  readonly state: 'starting' | 'standby' | 'catching-up' | 'current' | 'retrying' | 'stopped' | 'not-running' | 'elsewhere';
  readonly error: StatusError | null;
  /** Commit LSN of the last transaction that the replica holds. */
  readonly position: string | null;
  /** Age of the oldest transaction that the replica lacks; 0 when it lacks none. */
  readonly lagMs: number | null;
  /** WAL between the replica's position and the log's end. */
  readonly lagBytes: number | null;
  readonly behindTransactions: number | null;
  /** Row changes applied since the daemon started. */
  readonly applied: number;
  /** Changes of rows that a `snapshot: never` replica does not have. */
  readonly missing: number;
  /** Keys that wait for a dead letter to be retried: the replica is not whole for them. */
  readonly blockedKeys: number;
}

/** Compactions that found something to do, since the daemon started. */
export interface CompactionStatus {
  readonly runs: number;
  /** What the topics took before, and after: sums over all runs. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly durationMs: number;
  /** When the last one ended; milliseconds since 1970. */
  readonly lastAt: number | null;
}

/** Times are milliseconds since 1970. */
export interface JobStatus {
  readonly name: string;
  readonly state: 'waiting' | 'running' | 'stopped';
  readonly next: number | null;
  readonly last: {
    readonly outcome: 'ok' | 'failed' | 'missed' | 'skipped';
    readonly scheduled: number;
    readonly finished: number;
    readonly rows: number;
    readonly into: string | null;
    readonly error: string | null;
  } | null;
}
