import { TailraceError } from '../../runtime/errors.ts';
import { shortened } from '../../runtime/printable.ts';
import { formatSize } from '../../runtime/units.ts';
import { BATCH_HEADER, LENGTH_HEADER, sealBatch, writeInt64 } from '../record-batch.ts';
import type { FinishedBatch } from '../record-batch-builder.ts';
import { BatchCursor } from '../record-cursor.ts';
import { Again, againOrThrow, type Cluster } from './cluster.ts';
import { compress, compressionBits, type Compression } from './compression.ts';
import { errorCode } from './kafka-errors.ts';
import { initProducerIdApi, produceApi, type ProducedPartition, type ProducerIdentity } from './protocol/record-apis.ts';

export interface Outgoing {
  readonly topic: string;
  readonly partition: number;
  readonly batch: FinishedBatch;
}

export interface ProducerOptions {
  readonly cluster: Cluster;
  readonly compression: Compression;
  /** What the configuration says a record may have, for messages. */
  readonly maxRecordSize: number;
  /** `max.message.bytes` of a topic, as far as it is known. */
  readonly limitOf: (topic: string) => number;
}

/** Milliseconds that a leader waits for its followers; the request itself may take longer. */
const followersTimeout = 15_000;

/**
 * Sends batches, each until it is acknowledged by every replica in sync, one at a time a partition. A batch that is sent again
 * carries the number that it had, and the broker knows it: so what is repeated stands there once. When a send is given up, nobody
 * knows what the broker has, and a number would be given twice: the producer is not used again (the writer is finished).
 */
export class Producer {
  readonly #options: ProducerOptions;
  readonly #identity: ProducerIdentity;
  /** The number of the next record of each partition. */
  readonly #sequences = new Map<string, number>();

  private constructor(options: ProducerOptions, identity: ProducerIdentity) {
    this.#options = options;
    this.#identity = identity;
  }

  static async open(options: ProducerOptions): Promise<Producer> {
    const { cluster } = options;
    const identity = await cluster.patiently(async () => {
      const answer = await (await cluster.any()).call(initProducerIdApi, null);
      return answer.error === errorCode.none ? answer : againOrThrow(answer.error, 'an idempotent producer (the right IdempotentWrite, or Write on a topic)');
    });
    return new Producer(options, identity);
  }

  /** Batches of one partition in their order; resolves with the base offset of each once all are durable. */
  async send(outgoing: readonly Outgoing[]): Promise<readonly number[]> {
    const lanes = new Map<string, number[]>();
    for (const [index, { topic, partition }] of outgoing.entries()) {
      const lane = `${topic}/${partition}`;
      const waiting = lanes.get(lane);
      if (waiting === undefined) lanes.set(lane, [index]);
      else waiting.push(index);
    }
    const baseOffsets = Array<number>(outgoing.length).fill(-1);
    for (let round = 0; lanes.size > 0; round++) {
      const heads = [...lanes.values()].map((waiting) => waiting[round] as number);
      const sent = await this.#round(heads.map((index) => outgoing[index] as Outgoing));
      for (const [i, index] of heads.entries()) baseOffsets[index] = sent[i] as number;
      for (const [lane, waiting] of lanes) if (waiting.length === round + 1) lanes.delete(lane);
    }
    return baseOffsets;
  }

  /** One batch of each partition. */
  async #round(outgoing: readonly Outgoing[]): Promise<readonly number[]> {
    const parcels = await Promise.all(outgoing.map((one) => this.#pack(one)));
    let left = parcels;
    await this.#options.cluster.patiently(async () => {
      const answers = await this.#try(left);
      left = left.filter((parcel) => parcel.baseOffset < 0);
      return left.length === 0 ? true : (answers.find((answer) => answer !== undefined) ?? new Again(new TailraceError('log-unreachable', 'Kafka did not say what became of a batch')));
    });
    return parcels.map(({ baseOffset }) => baseOffset);
  }

  async #pack({ topic, partition, batch }: Outgoing): Promise<Parcel> {
    const { compression } = this.#options;
    let bytes = batch.bytes.subarray(0, batch.length);
    if (compression !== 'none') {
      const records = await compress(bytes.subarray(BATCH_HEADER), compression);
      // What does not get smaller goes as it is: it must not be too large for having been compressed.
      if (records.length < bytes.length - BATCH_HEADER) {
        bytes = Buffer.concat([bytes.subarray(0, BATCH_HEADER), records]);
        bytes.writeInt32BE(bytes.length - LENGTH_HEADER, 8);
        bytes.writeInt16BE(compressionBits[compression], 21);
      }
    }
    if (bytes.length > this.#options.limitOf(topic)) throw this.#tooLarge({ topic, partition, batch }, bytes.length);
    const lane = `${topic}/${partition}`;
    const sequence = this.#sequences.get(lane) ?? 0;
    this.#sequences.set(lane, (sequence + batch.count) % 0x8000_0000);
    // The broker puts the offset there.
    writeInt64(bytes, 0, 0);
    bytes.writeUInt32BE(this.#identity.high, 43);
    bytes.writeUInt32BE(this.#identity.low, 47);
    bytes.writeInt16BE(this.#identity.epoch, 51);
    bytes.writeInt32BE(sequence, 53);
    sealBatch(bytes, bytes.length);
    return { topic, partition, bytes, batch, baseOffset: -1 };
  }

  /** One request to each leader; says for which reason something is left, where that may pass. */
  async #try(parcels: readonly Parcel[]): Promise<readonly (Again | undefined)[]> {
    const { cluster } = this.#options;
    const byLeader = new Map<number, Parcel[]>();
    for (const parcel of parcels) {
      const leader = await cluster.leader(parcel.topic, parcel.partition);
      if (leader === undefined) return [new Again(new TailraceError('log-unreachable', `the topic ${parcel.topic} is gone, or lacks partition ${parcel.partition}`))];
      const others = byLeader.get(leader);
      if (others === undefined) byLeader.set(leader, [parcel]);
      else others.push(parcel);
    }
    // All are waited for, whatever one meets: none may be on its way when a batch is sent again.
    const outcomes = await Promise.allSettled([...byLeader].map(([leader, theirs]) => this.#produce(leader, theirs)));
    return outcomes.flatMap((outcome) => {
      if (outcome.status === 'fulfilled') return outcome.value;
      throw outcome.reason;
    });
  }

  async #produce(leader: number, parcels: readonly Parcel[]): Promise<readonly (Again | undefined)[]> {
    const { cluster } = this.#options;
    let answers: readonly ProducedPartition[];
    try {
      const connection = await cluster.broker(leader);
      answers = await connection.call(produceApi, { timeout: followersTimeout, batches: parcels });
    } catch (error) {
      if (!(error instanceof TailraceError && error.code === 'log-unreachable')) throw error;
      for (const { topic } of parcels) cluster.forget(topic);
      return [new Again(error)];
    }
    return answers.map((answer) => this.#take(answer, parcels));
  }

  #take(answer: ProducedPartition, parcels: readonly Parcel[]): Again | undefined {
    const { topic, partition, error } = answer;
    const parcel = parcels.find((candidate) => candidate.topic === topic && candidate.partition === partition);
    if (parcel === undefined) throw new TailraceError('internal', `Kafka answered for ${topic}, which was not written to`);
    if (error === errorCode.none) {
      parcel.baseOffset = answer.baseOffset;
      return undefined;
    }
    if (error === errorCode.messageTooLarge || error === errorCode.recordListTooLarge) throw this.#tooLarge(parcel, parcel.bytes.length);
    this.#options.cluster.forget(topic);
    return againOrThrow(error, `writing to partition ${partition} of ${topic}`, answer.message);
  }

  #tooLarge({ topic, partition, batch }: Outgoing, size: number): TailraceError {
    const { limitOf, maxRecordSize } = this.#options;
    const limits = `the topic takes ${formatSize(limitOf(topic))} (max.message.bytes), log.max_record_size is ${formatSize(maxRecordSize)}`;
    // The next writer asks what the limits are now.
    if (batch.count > 1) return new TailraceError('log-record-too-large', `${batch.count} records for ${topic} together have ${formatSize(size)}: ${limits}; the limit was lowered meanwhile`);
    const cursor = new BatchCursor(batch.bytes, batch.length, { from: 0, next: 1 });
    cursor.next();
    const { bytes, start, end } = cursor.key;
    const key = start < 0 ? 'without a key' : `with the key ${shortened(Buffer.from(bytes.subarray(start, end)).toString(), 200)}`;
    return new TailraceError('log-record-too-large', `an event ${key} for partition ${partition} of ${topic} has ${formatSize(size)}: ${limits}`);
  }
}

interface Parcel extends Outgoing {
  /** What is sent, again and again the same. */
  readonly bytes: Buffer;
  /** -1 until it is acknowledged. */
  baseOffset: number;
}
