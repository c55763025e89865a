import { setTimeout as delay } from 'node:timers/promises';
import { TailraceError } from '../../runtime/errors.ts';
import type { LogReader, OffsetRange, PartitionSize, RecordCursor, TopicSpec } from '../log.ts';
import { BatchCursor } from '../record-cursor.ts';
import { Again, againOrThrow, type Cluster } from './cluster.ts';
import { cursorOver } from './fetched-batches.ts';
import { errorCode } from './kafka-errors.ts';
import { offsetAtTime, rangeOf } from './offsets.ts';
import { partitionSizes } from './sizes.ts';
import { fetchApi, type FetchedPartition, type FetchRequest } from './protocol/record-apis.ts';

/** How long a broker sits on a fetch that has nothing to bring. */
const longestWait = 1000;
/** What a wait brings along, for the fetch that mostly follows it. */
const waitBytes = 256 << 10;
const nothing: FetchedPartition = { error: 0, highWatermark: 0, start: 0, records: Buffer.alloc(0) };

/** Reads partitions from any offset, without a consumer group: where a reader is, it knows itself. */
export class KafkaLogReader implements LogReader {
  readonly logId = undefined;
  readonly lateAfter: number;
  readonly #cluster: Cluster;
  readonly #prefix: string;
  readonly #closed = new AbortController();
  /** What the last wait found, until it is fetched. */
  #ahead: { readonly topic: string; readonly partition: number; readonly offset: number; readonly fetched: FetchedPartition } | undefined;

  constructor(cluster: Cluster, { prefix, lateAfter }: { readonly prefix: string; readonly lateAfter: number }) {
    this.#cluster = cluster;
    this.#prefix = prefix;
    this.lateAfter = lateAfter;
  }

  async topics(): Promise<readonly TopicSpec[]> {
    this.#mustBeOpen();
    return topicsOf(this.#cluster, this.#prefix);
  }

  async range(topic: string, partition: number): Promise<OffsetRange> {
    this.#mustBeOpen();
    return (await rangeOf(this.#cluster, { topic, partition })) ?? { start: 0, end: 0 };
  }

  async sizes(spec: TopicSpec): Promise<readonly PartitionSize[]> {
    this.#mustBeOpen();
    const sizes = await partitionSizes(this.#cluster, [spec]);
    return Array.from({ length: spec.partitions }, (_, partition) => ({ bytes: sizes.get(`${spec.topic}/${partition}`) ?? 0, segments: null }));
  }

  async fetch(topic: string, partition: number, offset: number, maxBytes: number): Promise<RecordCursor> {
    this.#mustBeOpen();
    const fetched = this.#fromWait(topic, partition, offset) ?? (await this.#fetch({ topic, partition, offset, maxBytes, maxWait: 0 }));
    return fetched.records.length === 0 ? BatchCursor.empty(offset) : cursorOver(fetched, offset, { topic, partition });
  }

  async wait(topic: string, partition: number, offset: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#closed.signal.aborted) return;
    const waiting = this.#wait({ topic, partition, offset, maxBytes: waitBytes, maxWait: longestWait });
    await untilAborted(waiting, [signal, this.#closed.signal]);
  }

  async offsetAt(topic: string, partition: number, timestamp: number): Promise<number> {
    this.#mustBeOpen();
    const found = await offsetAtTime(this.#cluster, { topic, partition }, Math.max(0, timestamp));
    return found === undefined || found >= 0 ? (found ?? 0) : (await this.range(topic, partition)).end;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#cluster.close();
  }

  #fromWait(topic: string, partition: number, offset: number): FetchedPartition | undefined {
    const ahead = this.#ahead;
    if (ahead === undefined || ahead.topic !== topic || ahead.partition !== partition || ahead.offset !== offset) return undefined;
    this.#ahead = undefined;
    return ahead.fetched;
  }

  /** The broker sits on it until there is something. A topic that is not there is looked for again after a while. */
  async #wait(request: FetchRequest): Promise<void> {
    const { topic, partition, offset } = request;
    const leader = await this.#cluster.patiently(() => this.#cluster.leader(topic, partition));
    if (leader === undefined) return pause(longestWait / 20, this.#closed.signal);
    const connection = await this.#cluster.spare(leader).catch((error: unknown) => {
      // The fetch that follows finds out what is the matter, and is repeated.
      if (error instanceof TailraceError && error.code === 'log-unreachable') return undefined;
      throw error;
    });
    if (connection === undefined) return pause(longestWait / 20, this.#closed.signal);
    try {
      const fetched = await connection.call(fetchApi, request);
      if (fetched.error === errorCode.none && fetched.records.length > 0) this.#ahead = { topic, partition, offset, fetched };
      else if (fetched.error !== errorCode.none) await pause(longestWait / 20, this.#closed.signal);
    } catch (error) {
      if (!(error instanceof TailraceError && error.code === 'log-unreachable')) throw error;
      this.#cluster.forget(topic);
    } finally {
      this.#cluster.giveBack(connection);
    }
  }

  #fetch(request: FetchRequest): Promise<FetchedPartition> {
    const { topic, partition, offset } = request;
    return this.#cluster.patiently(async (): Promise<FetchedPartition | Again> => {
      const leader = await this.#cluster.leader(topic, partition);
      if (leader === undefined && offset === 0) return nothing;
      // A broker that has only just started may not know of it yet.
      if (leader === undefined) return new Again(outOfRange(request, 'there is no such topic'));
      const fetched = await (await this.#cluster.broker(leader)).call(fetchApi, request);
      if (fetched.error === errorCode.none) return fetched;
      if (fetched.error === errorCode.offsetOutOfRange) throw await this.#outOfRange(request);
      this.#cluster.forget(topic);
      return againOrThrow(fetched.error, `partition ${partition} of ${topic}`);
    });
  }

  async #outOfRange(request: FetchRequest): Promise<TailraceError> {
    const range = await rangeOf(this.#cluster, request);
    return outOfRange(request, range === undefined ? 'there is no such topic' : `it holds ${range.start} to ${range.end}`);
  }

  #mustBeOpen(): void {
    if (this.#closed.signal.aborted) throw new TailraceError('internal', 'the reader was closed before');
  }
}

/** A pipeline's topics, of all that the brokers have. */
export async function topicsOf(cluster: Cluster, prefix: string): Promise<readonly TopicSpec[]> {
  const metadata = await cluster.patiently(() => cluster.describe(null));
  return metadata.topics
    .filter(({ error, topic }) => error === errorCode.none && topic.startsWith(prefix))
    .map(({ topic, partitions }) => ({ topic, partitions: partitions.length }));
}

function outOfRange({ topic, partition, offset }: FetchRequest, why: string): TailraceError {
  return new TailraceError('offset-out-of-range', `partition ${partition} of ${topic} was asked for offset ${offset}, and ${why}`);
}

/** Resolves when one of the signals aborts, too; what the work meets afterwards is nobody's concern. */
async function untilAborted(work: Promise<void>, signals: readonly AbortSignal[]): Promise<void> {
  const { promise: aborted, resolve: abort } = Promise.withResolvers<void>();
  const heard = (): void => abort();
  for (const signal of signals) signal.addEventListener('abort', heard);
  const settled = work.catch((error: unknown) => {
    if (!signals.some((signal) => signal.aborted)) throw error;
  });
  try {
    await Promise.race([settled, aborted]);
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', heard);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal }).catch(() => undefined);
}
