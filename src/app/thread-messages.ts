import type { MessagePort } from 'node:worker_threads';
import { formatLsn } from '../event/lsn.ts';
import type { SinkRecord } from '../pipeline/control-records.ts';
import type { ReplayerProgress } from '../pipeline/replayer.ts';
import type { SinkReporter } from '../pipeline/sink-start.ts';
import type { CompactionStatus, JobStatus, SinkStatus, SourceStatus, StatusError, TableCopyStatus } from '../pipeline/status.ts';
import { TailraceError } from '../runtime/errors.ts';
import { questionsOver } from './control/questions.ts';
import type { Call, CallEnded } from './control/thread-calls.ts';

/** What a thread is started with. `config` is portable: it holds secrets in clear and goes to `workerData` only. */
export interface PublisherThreadData {
  readonly role: 'publisher';
  readonly config: unknown;
  readonly logLevel: string;
}

export interface SinkThreadData {
  readonly role: 'sink' | 'stream';
  readonly config: unknown;
  readonly logLevel: string;
  readonly sink: string;
  /** To the publisher, which owns the log's only writer; undefined where a log takes many, and the sink writes its topics itself. */
  readonly port: MessagePort | undefined;
  /** For what a stream gives. */
  readonly outputs?: MessagePort | undefined;
}

/** A stream that is spread over workers: its thread writes the log itself. */
export interface SpreadThreadData {
  readonly role: 'spread';
  readonly config: unknown;
  readonly logLevel: string;
  readonly stream: string;
}

export interface JobsThreadData {
  readonly role: 'jobs';
  readonly config: unknown;
  readonly logLevel: string;
  readonly shared: SharedArrayBuffer | undefined;
  readonly port: MessagePort;
}

export interface FromJobs {
  readonly kind: 'jobs';
  readonly report: readonly JobStatus[];
}

/** The log is there; `shared` is its writer's, and wakes its readers. */
export interface LogOpen {
  readonly kind: 'log-open';
  readonly shared: SharedArrayBuffer | undefined;
}

/** To a thread that follows the log: it may begin, or has to end. */
export type ToFollower = LogOpen | { readonly kind: 'stop' };

export type ToThread =
  | { readonly kind: 'stop' }
  | { readonly kind: 'sink-port'; readonly sink: string; readonly port: MessagePort }
  | { readonly kind: 'stream-port'; readonly stream: string; readonly port: MessagePort }
  | { readonly kind: 'jobs-port'; readonly port: MessagePort }
  | Call;

/** To the thread of a stream in shards: a task is this process's, or no longer. */
export type ToSpreadThread = { readonly kind: 'stop' } | { readonly kind: 'task-begin' | 'task-end'; readonly task: string };

export type FromPublisher =
  | LogOpen
  | { readonly kind: 'publisher'; readonly report: PublisherReport }
  | CallEnded
  | { readonly kind: 'ended'; readonly exit: number };

export type FromSink =
  | { readonly kind: 'sink'; readonly report: SinkReport }
  /** Of the tasks of a stream that this process has. */
  | { readonly kind: 'tasks-ready' }
  | { readonly kind: 'task-ended'; readonly task: string }
  | { readonly kind: 'tasks'; readonly reports: Readonly<Record<string, SinkReport>> }
  | { readonly kind: 'ended'; readonly exit: number };

export interface PublisherReport {
  readonly state: 'starting' | 'streaming' | 'retrying' | 'stopped';
  readonly error: StatusError | null;
  readonly source: SourceStatus | null;
  readonly copies: readonly TableCopyStatus[];
  readonly leftOut: readonly string[];
  /** End of the `transaction` topic, and the end LSN of its last END: what sinks are measured against. */
  readonly transactionEnd: number;
  /** The same of each stream's own. */
  readonly streamEnds: Readonly<Record<string, number>>;
  readonly compaction: CompactionStatus | null;
}

export interface SinkReport {
  readonly state: 'starting' | 'standby' | 'running' | 'retrying' | 'stopped';
  readonly error: StatusError | null;
  readonly position: SinkStatus['position'];
  readonly endLsn: string;
  readonly offset: number;
  /** End of the `transaction` topic as it sees it; null where the publisher says so. */
  readonly transactionEnd: number | null;
  /** Milliseconds since 1970 of the last transaction applied, by the source's clock; 0 for none. */
  readonly commitAt: number;
  readonly applied: number;
  readonly missing: number;
  readonly blockedKeys: number;
}

export const emptyReport: SinkReport = {
  state: 'starting', error: null, position: null, endLsn: '0/0', offset: 0, transactionEnd: null, commitAt: 0, applied: 0, missing: 0, blockedKeys: 0,
};

/** What a replay says of itself. */
export function reportOf(progress: ReplayerProgress | undefined): Omit<SinkReport, 'state' | 'error' | 'transactionEnd'> {
  return {
    position: progress?.position == null ? null : formatLsn(progress.position.commitLsn),
    endLsn: formatLsn(progress?.endLsn ?? 0n),
    offset: progress?.offset ?? 0,
    commitAt: Number((progress?.commitTime ?? 0n) / 1000n),
    applied: progress?.applied ?? 0,
    missing: progress?.missing ?? 0,
    blockedKeys: progress?.blockedKeys ?? 0,
  };
}

interface AppendRequest {
  readonly id: number;
  readonly topic: 'sink' | 'dead-letter';
  readonly key: Uint8Array | null;
  readonly value: Uint8Array;
  readonly ask: SinkRecord | undefined;
}

interface AppendReply {
  readonly id: number;
  readonly error: string | null;
}

/** The sink's end of the port: what it reports is appended by the publisher and is durable when the promise resolves. */
export function reporterOver(port: MessagePort): SinkReporter {
  const questions = questionsOver<void>(port);
  port.on('message', ({ id, error }: AppendReply) => {
    if (error === null) questions.answered(id);
    else questions.refused(id, new TailraceError('log-unwritable', `the sink's own record could not be written: ${error}`));
  });
  return {
    append: (topic, { key, value, ask }) => questions.ask((id) => port.postMessage({ id, topic, key, value, ask } satisfies AppendRequest)),
  };
}

/** The publisher's end. */
export function serveReporter(port: MessagePort, append: SinkReporter['append']): void {
  port.on('message', (request: AppendRequest) => {
    const { id, topic, key, value, ask } = request;
    const reply = (error: string | null): void => port.postMessage({ id, error } satisfies AppendReply);
    append(topic, { key, value, ...(ask === undefined ? {} : { ask }) }).then(
      () => reply(null),
      (error: unknown) => reply(error instanceof Error ? error.message : String(error)),
    );
  });
}
