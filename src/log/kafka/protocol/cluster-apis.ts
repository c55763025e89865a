import type { Api, ResponseReader } from './wire.ts';

/* Requests about the cluster and its topics, in versions that every broker from Kafka 2.4 to 4.x knows. */

export interface MetadataRequest {
  /** Null: all topics. */
  readonly topics: readonly string[] | null;
  /** Whether to say what the user may do. */
  readonly rights: boolean;
}

export interface Metadata {
  readonly brokers: readonly { readonly id: number; readonly host: string; readonly port: number }[];
  readonly controller: number;
  readonly topics: readonly TopicMetadata[];
  /** Bits by operation; `undefined` where nobody asked. */
  readonly rights: number | undefined;
}

export interface TopicMetadata {
  readonly error: number;
  readonly topic: string;
  readonly partitions: readonly PartitionMetadata[];
  readonly rights: number | undefined;
}

export interface PartitionMetadata {
  readonly error: number;
  readonly partition: number;
  /** -1: none at the moment. */
  readonly leader: number;
  readonly replicas: readonly number[];
  readonly inSync: readonly number[];
}

const notAsked = -0x8000_0000;

export const metadataApi: Api<MetadataRequest, Metadata> = {
  key: 3,
  version: 8,
  name: 'Metadata',
  encode(writer, { topics, rights }) {
    writer.array(topics, (topic) => writer.string(topic));
    // A look makes no topic.
    writer.boolean(false).boolean(rights).boolean(rights);
  },
  decode(reader) {
    reader.int32();
    const brokers = reader.array(() => {
      const broker = { id: reader.int32(), host: reader.string(), port: reader.int32() };
      reader.nullableString();
      return broker;
    });
    reader.nullableString();
    const controller = reader.int32();
    const topics = reader.array(() => {
      const [error, topic] = [reader.int16(), reader.string()];
      reader.boolean();
      const partitions = reader.array(() => {
        const [code, partition, leader] = [reader.int16(), reader.int32(), reader.int32()];
        reader.int32();
        const [replicas, inSync] = [reader.array(() => reader.int32()), reader.array(() => reader.int32())];
        reader.array(() => reader.int32());
        return { error: code, partition, leader, replicas, inSync };
      });
      return { error, topic, partitions, rights: asked(reader.int32()) };
    });
    return { brokers, controller, topics, rights: asked(reader.int32()) };
  },
};

function asked(rights: number): number | undefined {
  return rights === notAsked ? undefined : rights;
}

export interface CreateTopicRequest {
  readonly topic: string;
  readonly partitions: number;
  readonly replication: number;
  readonly settings: Readonly<Record<string, string>>;
  readonly timeout: number;
  /** Only to be told whether it could be made. */
  readonly validateOnly: boolean;
}

export interface TopicAnswer {
  /** Kafka's code; 0 for success, -1 where the broker said nothing of the topic. */
  readonly error: number;
  readonly message: string | null;
}

function answerOfTopic(reader: ResponseReader): TopicAnswer {
  reader.int32();
  const [first] = reader.array(() => {
    reader.string();
    return { error: reader.int16(), message: reader.nullableString() };
  });
  return first ?? { error: -1, message: null };
}

export const createTopicsApi: Api<CreateTopicRequest, TopicAnswer> = {
  key: 19,
  version: 4,
  name: 'CreateTopics',
  encode(writer, { topic, partitions, replication, settings, timeout, validateOnly }) {
    writer.int32(1).string(topic).int32(partitions).int16(replication).int32(0);
    writer.array(Object.entries(settings), ([name, value]) => writer.string(name).string(value));
    writer.int32(timeout).boolean(validateOnly);
  },
  decode: answerOfTopic,
};

export const deleteTopicsApi: Api<{ readonly topics: readonly string[]; readonly timeout: number }, readonly { readonly topic: string; readonly error: number }[]> = {
  key: 20,
  version: 3,
  name: 'DeleteTopics',
  encode(writer, { topics, timeout }) {
    writer.array(topics, (topic) => writer.string(topic)).int32(timeout);
  },
  decode(reader) {
    reader.int32();
    return reader.array(() => ({ topic: reader.string(), error: reader.int16() }));
  },
};

export const createPartitionsApi: Api<{ readonly topic: string; readonly partitions: number; readonly timeout: number }, TopicAnswer> = {
  key: 37,
  version: 1,
  name: 'CreatePartitions',
  encode(writer, { topic, partitions, timeout }) {
    // Null: the brokers choose where they go.
    writer.int32(1).string(topic).int32(partitions).array<never>(null, () => {}).int32(timeout).boolean(false);
  },
  decode: answerOfTopic,
};

/** Null takes a setting back. */
export const alterConfigsApi: Api<{ readonly topic: string; readonly settings: Readonly<Record<string, string | null>> }, TopicAnswer> = {
  key: 44,
  version: 0,
  name: 'IncrementalAlterConfigs',
  encode(writer, { topic, settings }) {
    writer.int32(1).int8(2).string(topic);
    writer.array(Object.entries(settings), ([name, value]) => writer.string(name).int8(value === null ? 1 : 0).string(value));
    writer.boolean(false);
  },
  decode(reader) {
    reader.int32();
    const [first] = reader.array(() => {
      const answer = { error: reader.int16(), message: reader.nullableString() };
      reader.int8();
      reader.string();
      return answer;
    });
    return first ?? { error: -1, message: null };
  },
};

export interface DescribeConfigsRequest {
  readonly kind: 'topic' | 'broker';
  readonly names: readonly string[];
}

export interface DescribedConfig {
  readonly name: string;
  readonly error: number;
  readonly settings: ReadonlyMap<string, string | null>;
}

export const describeConfigsApi: Api<DescribeConfigsRequest, readonly DescribedConfig[]> = {
  key: 32,
  version: 2,
  name: 'DescribeConfigs',
  encode(writer, { kind, names }) {
    writer.array(names, (name) => writer.int8(kind === 'topic' ? 2 : 4).string(name).array<string>(null, () => {}));
    writer.boolean(false);
  },
  decode(reader) {
    reader.int32();
    return reader.array(() => {
      const error = reader.int16();
      reader.nullableString();
      reader.int8();
      const name = reader.string();
      const settings = reader.array((): [string, string | null] => {
        const setting: [string, string | null] = [reader.string(), reader.nullableString()];
        reader.boolean();
        reader.int8();
        reader.boolean();
        reader.array(() => [reader.string(), reader.nullableString(), reader.int8()]);
        return setting;
      });
      return { name, error, settings: new Map(settings) };
    });
  },
};

export interface LogDirsRequest {
  readonly topics: readonly { readonly topic: string; readonly partitions: number }[];
}

export interface PartitionSize {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: number;
}

export const describeLogDirsApi: Api<LogDirsRequest, readonly PartitionSize[]> = {
  key: 35,
  version: 1,
  name: 'DescribeLogDirs',
  encode(writer, { topics }) {
    writer.array(topics, ({ topic, partitions }) => {
      writer.string(topic).array(Array.from({ length: partitions }, (_, i) => i), (partition) => writer.int32(partition));
    });
  },
  decode(reader) {
    reader.int32();
    return reader.array(() => {
      reader.int16();
      reader.string();
      return reader.array(() => {
        const topic = reader.string();
        return reader.array(() => {
          const size = { topic, partition: reader.int32(), bytes: reader.int64() };
          reader.int64();
          reader.boolean();
          return size;
        });
      });
    }).flat(2);
  },
};

/** The least and the newest version of each request that a broker knows. */
export const apiVersionsApi: Api<null, ReadonlyMap<number, { readonly min: number; readonly max: number }>> = {
  key: 18,
  version: 0,
  name: 'ApiVersions',
  encode() {},
  decode(reader) {
    reader.int16();
    return new Map(reader.array(() => [reader.int16(), { min: reader.int16(), max: reader.int16() }] as const));
  },
};

export const saslHandshakeApi: Api<string, { readonly error: number; readonly mechanisms: readonly string[] }> = {
  key: 17,
  version: 1,
  name: 'SaslHandshake',
  encode(writer, mechanism) {
    writer.string(mechanism);
  },
  decode(reader) {
    return { error: reader.int16(), mechanisms: reader.array(() => reader.string()) };
  },
};

export interface SaslAnswer {
  readonly error: number;
  readonly message: string | null;
  readonly bytes: Buffer;
  /** Milliseconds after which the broker wants to be told again; 0 for never. */
  readonly lifetime: number;
}

export const saslAuthenticateApi: Api<Uint8Array, SaslAnswer> = {
  key: 36,
  version: 1,
  name: 'SaslAuthenticate',
  encode(writer, bytes) {
    writer.bytes(bytes);
  },
  decode(reader) {
    return { error: reader.int16(), message: reader.nullableString(), bytes: reader.bytes(), lifetime: reader.int64() };
  },
};
