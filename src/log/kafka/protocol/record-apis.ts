import type { Api, ResponseReader } from './wire.ts';

/*
 * Requests about records. Batches travel as they are: encoded, compressed and checked elsewhere. The versions are those that
 * every broker from Kafka 2.4 to 4.x knows, so that nothing has to be negotiated.
 */

/** One batch for each partition: brokers take no more in one request. */
export interface ProduceRequest {
  /** Milliseconds that the leader waits for its followers. */
  readonly timeout: number;
  readonly batches: readonly { readonly topic: string; readonly partition: number; readonly bytes: Buffer }[];
}

export interface ProducedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly error: number;
  readonly message: string | null;
  readonly baseOffset: number;
}

export const produceApi: Api<ProduceRequest, readonly ProducedPartition[]> = {
  key: 0,
  version: 8,
  name: 'Produce',
  encode(writer, { timeout, batches }) {
    // No transaction; acknowledged by all replicas that are in sync.
    writer.string(null).int16(-1).int32(timeout);
    writer.array(batches, ({ topic, partition, bytes }) => {
      writer.string(topic).int32(1).int32(partition).attach(bytes);
    });
  },
  decode(reader) {
    return byTopic(reader, (topic) => {
      const [partition, error, baseOffset] = [reader.int32(), reader.int16(), reader.int64()];
      // When it was appended, and where the log begins.
      reader.int64();
      reader.int64();
      const ofRecords = reader.array(() => ({ index: reader.int32(), message: reader.nullableString() }));
      const message = reader.nullableString() ?? ofRecords[0]?.message ?? null;
      return { topic, partition, error, message, baseOffset };
    });
  },
};

export interface FetchRequest {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly maxBytes: number;
  /** Milliseconds that the broker waits for a first byte. */
  readonly maxWait: number;
}

export interface FetchedPartition {
  readonly error: number;
  /** Records below it are on all replicas that are in sync. */
  readonly highWatermark: number;
  /** The first offset that is held. */
  readonly start: number;
  readonly records: Buffer;
}

export const fetchApi: Api<FetchRequest, FetchedPartition> = {
  key: 1,
  version: 11,
  name: 'Fetch',
  encode(writer, { topic, partition, offset, maxBytes, maxWait }) {
    // A consumer, no session; everything below the high watermark, because transactions of Kafka's are not used.
    writer.int32(-1).int32(maxWait).int32(1).int32(maxBytes).int8(0).int32(0).int32(-1);
    writer.int32(1).string(topic).int32(1).int32(partition).int32(-1).int64(offset).int64(-1).int32(maxBytes);
    writer.int32(0).string('');
  },
  decode(reader) {
    reader.int32();
    const error = reader.int16();
    reader.int32();
    const [first] = reader.array(() => {
      reader.string();
      return reader.array(() => readPartition(reader));
    }).flat();
    return error !== 0 || first === undefined ? { error, highWatermark: -1, start: -1, records: Buffer.alloc(0) } : first;
  },
};

function readPartition(reader: ResponseReader): FetchedPartition {
  reader.int32();
  const [error, highWatermark] = [reader.int16(), reader.int64()];
  reader.int64();
  const start = reader.int64();
  reader.array(() => [reader.int64(), reader.int64()]);
  reader.int32();
  return { error, highWatermark, start, records: reader.bytes() };
}

/** In place of a timestamp. */
export const latestOffset = -1;
export const earliestOffset = -2;

export interface OffsetsRequest {
  readonly partitions: readonly { readonly topic: string; readonly partition: number; readonly timestamp: number }[];
}

export interface FoundOffset {
  readonly topic: string;
  readonly partition: number;
  readonly error: number;
  /** -1: no record is that young. */
  readonly offset: number;
}

export const listOffsetsApi: Api<OffsetsRequest, readonly FoundOffset[]> = {
  key: 2,
  version: 5,
  name: 'ListOffsets',
  encode(writer, { partitions }) {
    writer.int32(-1).int8(0);
    writer.array(partitions, ({ topic, partition, timestamp }) => {
      writer.string(topic).int32(1).int32(partition).int32(-1).int64(timestamp);
    });
  },
  decode(reader) {
    reader.int32();
    return byTopic(reader, (topic) => {
      const [partition, error] = [reader.int32(), reader.int16()];
      reader.int64();
      const offset = reader.int64();
      reader.int32();
      return { topic, partition, error, offset };
    });
  },
};

export interface DeleteRecordsRequest {
  readonly topic: string;
  readonly partition: number;
  /** The first offset that stays. */
  readonly offset: number;
  readonly timeout: number;
}

export const deleteRecordsApi: Api<DeleteRecordsRequest, { readonly start: number; readonly error: number }> = {
  key: 21,
  version: 1,
  name: 'DeleteRecords',
  encode(writer, { topic, partition, offset, timeout }) {
    writer.int32(1).string(topic).int32(1).int32(partition).int64(offset).int32(timeout);
  },
  decode(reader) {
    reader.int32();
    const [first] = byTopic(reader, () => {
      reader.int32();
      return { start: reader.int64(), error: reader.int16() };
    });
    return first ?? { start: -1, error: -1 };
  },
};

export interface ProducerIdentity {
  readonly error: number;
  /** 63 bits, as two halves. */
  readonly high: number;
  readonly low: number;
  readonly epoch: number;
}

/** What makes a batch that is sent again one that the broker knows. */
export const initProducerIdApi: Api<null, ProducerIdentity> = {
  key: 22,
  version: 1,
  name: 'InitProducerId',
  encode(writer) {
    writer.string(null).int32(60_000);
  },
  decode(reader) {
    reader.int32();
    return { error: reader.int16(), high: reader.int32() >>> 0, low: reader.int32() >>> 0, epoch: reader.int16() };
  },
};

function byTopic<T>(reader: ResponseReader, read: (topic: string) => T): T[] {
  return reader.array(() => {
    const topic = reader.string();
    return reader.array(() => read(topic));
  }).flat();
}
