import { randomUUID } from 'node:crypto';
import { TailraceError } from '../../runtime/errors.ts';
import type { Slice } from '../../runtime/slice.ts';
import { BufferPool } from '../buffer-pool.ts';
import type { BatchBuilder, LogWriter, OffsetRange, OversizePolicy, Placement, TopicChange, TopicOptions, TopicSpec } from '../log.ts';
import { MAX_BATCH } from '../record-batch.ts';
import { RecordBatchBuilder } from '../record-batch-builder.ts';
import { againOrThrow, type Again, type Cluster } from './cluster.ts';
import type { Compression } from './compression.ts';
import { errorCode } from './kafka-errors.ts';
import { partitionOf } from '../murmur2.ts';
import { rangeOf } from './offsets.ts';
import { Producer, type Outgoing } from './producer.ts';
import { deleteRecordsApi } from './protocol/record-apis.ts';
import { topicsOf } from './reader.ts';
import { RecordLimit } from './record-limit.ts';
import { partitionSizes } from './sizes.ts';
import { addPartitions, alterSettings, deleteTopics, led, makeTopic, otherPartitions, recordLimits, requestLimit, untilGone, type TopicRules } from './topics.ts';

export interface WriterOptions {
  readonly cluster: Cluster;
  /** In front of every topic of this log. */
  readonly prefix: string;
  readonly rules: TopicRules;
  readonly compression: Compression;
  /** What is to become of an event that is larger than its topic takes. */
  readonly oversize: OversizePolicy;
  readonly partitionsFor: (topic: string) => number;
}

const trimTimeout = 15_000;
/** The producer puts its own number there. */
const noProducer = { high: 0xffff_ffff, low: 0xffff_ffff };

interface Partition {
  start: number;
  end: number;
}

/** What is known of the topics when a writer begins. */
interface Known {
  readonly producer: Producer;
  readonly topics: Map<string, Partition[]>;
  /** `max.message.bytes` of topics, as far as it may be known. */
  readonly limits: Map<string, number>;
  readonly request: number | undefined;
}

/**
 * The writer of a log in Kafka. What `append` is given becomes durable first, then what follows. Anything that is refused for
 * good, or for too long, ends the writer: the next one finds out what the brokers have.
 */
export class KafkaLogWriter implements LogWriter {
  readonly logId = randomUUID();
  readonly shared = undefined;
  readonly #options: WriterOptions;
  readonly #producer: Producer;
  readonly #topics: Map<string, Partition[]>;
  readonly #limits: Map<string, number>;
  readonly #request: number | undefined;
  readonly #recordLimits = new Map<string, RecordLimit>();
  readonly #pool = new BufferPool(32 * 1024 * 1024);
  #failure: unknown;

  private constructor(options: WriterOptions, { producer, topics, limits, request }: Known) {
    this.#options = options;
    this.#producer = producer;
    this.#topics = topics;
    this.#limits = limits;
    this.#request = request;
  }

  static async open(options: WriterOptions): Promise<KafkaLogWriter> {
    const { cluster, compression, rules } = options;
    const specs = await topicsOf(cluster, options.prefix);
    const limits = new Map(await recordLimits(cluster, specs.map(({ topic }) => topic)));
    const topics = new Map(await Promise.all(specs.map(async (spec) => [spec.topic, await rangesOf(cluster, spec)] as const)));
    const limitOf = (topic: string): number => limits.get(topic) ?? rules.maxRecordSize;
    const request = await requestLimit(cluster);
    const producer = await Producer.open({ cluster, compression, maxRecordSize: rules.maxRecordSize, limitOf });
    return new KafkaLogWriter(options, { producer, topics, limits, request });
  }

  async createTopic(spec: TopicSpec, { replication, settings = {} }: TopicOptions = {}): Promise<void> {
    this.#mustBeGood();
    const known = this.#topics.get(spec.topic);
    if (known !== undefined && known.length !== spec.partitions) throw otherPartitions({ ...spec, partitions: known.length }, spec.partitions);
    if (known !== undefined) return;
    const { cluster, rules } = this.#options;
    const own = Object.entries(settings).filter((setting): setting is [string, string] => setting[1] !== null);
    await makeTopic(cluster, spec, { ...rules, replication: replication ?? rules.replication, settings: { ...rules.settings, ...Object.fromEntries(own) } });
    // It may have been there, made by somebody else meanwhile.
    this.#topics.set(spec.topic, await rangesOf(cluster, spec));
    for (const [topic, limit] of await recordLimits(cluster, [spec.topic])) this.#limits.set(topic, limit);
    this.#recordLimits.delete(spec.topic);
  }

  async alterTopic(topic: string, { partitions, settings = {} }: TopicChange): Promise<void> {
    this.#mustBeGood();
    const { cluster } = this.#options;
    // Settings first: what is wrong in them is found before anything that cannot be taken back.
    if (Object.keys(settings).length > 0) await alterSettings(cluster, topic, settings);
    if (partitions === undefined || partitions === this.#topics.get(topic)?.length) return;
    await addPartitions(cluster, { topic, partitions });
    await led(cluster, topic, partitions);
    this.#topics.set(topic, await rangesOf(cluster, { topic, partitions }));
  }

  async deleteTopic(topic: string): Promise<void> {
    this.#mustBeGood();
    await deleteTopics(this.#options.cluster, [topic]);
    await untilGone(this.#options.cluster, topic);
    this.#topics.delete(topic);
  }

  topics(): readonly TopicSpec[] {
    return [...this.#topics].map(([topic, partitions]) => ({ topic, partitions: partitions.length }));
  }

  partitionsFor(topic: string): number {
    return this.#options.partitionsFor(topic);
  }

  partitionOf(key: Slice, partitions: number): number {
    return partitionOf(key, partitions);
  }

  range(topic: string, partition: number): OffsetRange {
    return { ...this.#partition(topic, partition) };
  }

  batch(topic: string, partition: number): RecordBatchBuilder {
    this.#partition(topic, partition);
    const limit = this.#limitOf(topic);
    const maxBatch = Math.min(MAX_BATCH, limit.bytes);
    return new RecordBatchBuilder({ topic, partition, stamp: noProducer, maxBatch, oversize: (draft) => limit.oversize(draft) }, this.#pool);
  }

  async append(data: readonly BatchBuilder[], follow?: (placed: readonly Placement[]) => readonly BatchBuilder[]): Promise<readonly Placement[]> {
    this.#mustBeGood();
    const builders = data.map(own);
    const placed = await this.#send(builders);
    const following = (follow?.(placed) ?? []).map(own);
    return this.#send(following);
  }

  async trim(topic: string, partition: number, offset: number): Promise<void> {
    this.#mustBeGood();
    const range = this.#partition(topic, partition);
    if (offset <= range.start) return;
    const { cluster } = this.#options;
    range.start = await cluster.patiently(async (): Promise<number | Again> => {
      const leader = await cluster.leader(topic, partition);
      if (leader === undefined) return range.start;
      const answer = await (await cluster.broker(leader)).call(deleteRecordsApi, { topic, partition, offset, timeout: trimTimeout });
      if (answer.error === errorCode.none) return answer.start;
      cluster.forget(topic);
      return againOrThrow(answer.error, `old records of partition ${partition} of ${topic} cannot be deleted`);
    });
  }

  async size(): Promise<number> {
    this.#mustBeGood();
    const { cluster } = this.#options;
    return [...(await partitionSizes(cluster, this.topics())).values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  async close(): Promise<void> {
    this.#failure ??= new TailraceError('internal', 'the writer was closed before');
    this.#options.cluster.close();
  }

  async #send(builders: readonly RecordBatchBuilder[]): Promise<readonly Placement[]> {
    const outgoing: Outgoing[] = [];
    const pieces = builders.map(() => new Pieces());
    for (const [i, builder] of builders.entries()) {
      for (const batch of builder.finish()) {
        pieces[i]?.add(outgoing.length, batch.count);
        outgoing.push({ topic: builder.topic, partition: builder.partition, batch });
      }
    }
    try {
      const placed = await this.#producer.send(outgoing);
      for (const [i, { topic, partition, batch }] of outgoing.entries()) this.#placed(topic, partition, { base: placed[i] as number, count: batch.count });
      for (const builder of builders) builder.release();
      return pieces.map((each, i) => each.placed(placed, this.#partition(builders[i]?.topic ?? '', builders[i]?.partition ?? 0).end));
    } catch (error) {
      this.#failure ??= error;
      throw error;
    }
  }

  /** Offsets only grow. Where they do not, the brokers have lost what they had confirmed, or the topic is another one by now. */
  #placed(topic: string, partition: number, at: { readonly base: number; readonly count: number }): void {
    const range = this.#partition(topic, partition);
    if (at.base < range.end) {
      throw new TailraceError('log-damaged', `partition ${partition} of ${topic} had reached offset ${range.end}, and a new record was put at ${at.base}: the brokers lost what they had confirmed, or the topic was deleted and made again`, {
        remedy: 'See docs/guarantees.md, Gaps. Sinks that have not read what is missing stop; those that have go on.',
      });
    }
    range.end = at.base + at.count;
  }

  #limitOf(topic: string): RecordLimit {
    let limit = this.#recordLimits.get(topic);
    if (limit === undefined) {
      const { rules, compression, oversize: policy } = this.#options;
      const { maxRecordSize } = rules;
      limit = new RecordLimit({ topic: this.#limits.get(topic) ?? maxRecordSize, request: this.#request, maxRecordSize, compression, policy });
      this.#recordLimits.set(topic, limit);
    }
    return limit;
  }

  #partition(topic: string, partition: number): Partition {
    const found = this.#topics.get(topic)?.[partition];
    if (found === undefined) throw new TailraceError('internal', `topic ${topic} has no partition ${partition}`);
    return found;
  }

  #mustBeGood(): void {
    if (this.#failure === undefined) return;
    throw this.#failure instanceof TailraceError ? this.#failure : new TailraceError('internal', 'the writer has failed before', { cause: this.#failure });
  }
}

/** A builder's records may have become several batches, each sent by itself. */
class Pieces {
  readonly #pieces: { readonly batch: number; readonly first: number }[] = [];
  #count = 0;

  add(batch: number, count: number): void {
    this.#pieces.push({ batch, first: this.#count });
    this.#count += count;
  }

  /** `baseOffsets`: of all batches that were sent; `end`: where a builder without records would have gone. */
  placed(baseOffsets: readonly number[], end: number): Placement {
    const pieces = this.#pieces.map(({ batch, first }) => ({ base: baseOffsets[batch] as number, first }));
    return {
      offsetOf(index) {
        const piece = pieces.findLast(({ first }) => first <= index);
        return piece === undefined ? end : piece.base + index - piece.first;
      },
    };
  }
}

async function rangesOf(cluster: Cluster, { topic, partitions }: TopicSpec): Promise<Partition[]> {
  const ranges = Array.from({ length: partitions }, async (_, partition) => (await rangeOf(cluster, { topic, partition })) ?? { start: 0, end: 0 });
  return Promise.all(ranges);
}

function own(builder: BatchBuilder): RecordBatchBuilder {
  if (builder instanceof RecordBatchBuilder) return builder;
  throw new TailraceError('internal', 'a batch of another log was appended');
}
