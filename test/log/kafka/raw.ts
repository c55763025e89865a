import { Cluster } from '../../../src/log/kafka/cluster.ts';
import { kafkaLogConfig } from '../../../src/log/kafka/config.ts';
import { clusterOptions } from '../../../src/log/kafka/index.ts';
import { deleteRecordsApi } from '../../../src/log/kafka/protocol/record-apis.ts';
import type { Api } from '../../../src/log/kafka/protocol/wire.ts';
import { deleteTopics } from '../../../src/log/kafka/topics.ts';
import { TailraceError } from '../../../src/runtime/errors.ts';

/** What somebody else does to topics behind our back. */
export async function behindOurBack(brokers: readonly string[], act: (cluster: Cluster) => Promise<void>): Promise<void> {
  const cluster = new Cluster(clusterOptions(kafkaLogConfig.parse({ brokers })));
  try {
    await act(cluster);
  } finally {
    cluster.close();
  }
}

export function deleteTopic(brokers: readonly string[], topic: string): Promise<void> {
  return behindOurBack(brokers, async (cluster) => {
    await deleteTopics(cluster, [topic]);
    // A broker may know the topic for a while after the controller has deleted it.
    await cluster.patiently(async () => {
      cluster.forget(topic);
      if ((await cluster.partitions(topic)) !== undefined) throw new TailraceError('log-unreachable', `${topic} is still there`);
      return true;
    });
  });
}

/** Records below `offset` go, as by retention of the broker's own. */
export function dropRecords(brokers: readonly string[], topic: string, offset: number): Promise<void> {
  return behindOurBack(brokers, async (cluster) => {
    const leader = await cluster.leader(topic, 0);
    const { error } = await (await cluster.broker(leader ?? -1)).call(deleteRecordsApi, { topic, partition: 0, offset, timeout: 10_000 });
    if (error !== 0) throw new Error(`deleting records of ${topic}: ${error}`);
  });
}

const createPartitionsApi: Api<{ readonly topic: string; readonly partitions: number }, number> = {
  key: 37,
  version: 1,
  name: 'CreatePartitions',
  encode(writer, { topic, partitions }) {
    writer.int32(1).string(topic).int32(partitions).int32(-1).int32(10_000).boolean(false);
  },
  decode(reader) {
    reader.int32();
    return reader.array(() => {
      reader.string();
      const error = reader.int16();
      reader.nullableString();
      return error;
    })[0] ?? -1;
  },
};

export function addPartitions(brokers: readonly string[], topic: string, partitions: number): Promise<void> {
  return behindOurBack(brokers, async (cluster) => {
    const error = await (await cluster.controller()).call(createPartitionsApi, { topic, partitions });
    if (error !== 0) throw new Error(`adding partitions to ${topic}: ${error}`);
  });
}
