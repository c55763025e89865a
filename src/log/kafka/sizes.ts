import type { TopicSpec } from '../log.ts';
import type { Cluster } from './cluster.ts';
import { describeLogDirsApi } from './protocol/cluster-apis.ts';

/** Bytes of each partition's largest copy, by `topic/partition`: a copy that lags is the smaller one. */
export async function partitionSizes(cluster: Cluster, topics: readonly TopicSpec[]): Promise<ReadonlyMap<string, number>> {
  const { brokers } = await cluster.patiently(() => cluster.describe([]));
  const largest = new Map<string, number>();
  const described = await Promise.all(brokers.map(async ({ id }) => cluster.patiently(async () => (await cluster.broker(id)).call(describeLogDirsApi, { topics }))));
  for (const { topic, partition, bytes } of described.flat()) {
    const key = `${topic}/${partition}`;
    largest.set(key, Math.max(bytes, largest.get(key) ?? 0));
  }
  return largest;
}
