import type { OffsetRange } from '../log.ts';
import { againOrThrow, type Again, type Cluster } from './cluster.ts';
import { errorCode } from './kafka-errors.ts';
import { earliestOffset, latestOffset, listOffsetsApi } from './protocol/record-apis.ts';

interface Place {
  readonly topic: string;
  readonly partition: number;
}

/** What the partition's leader holds; undefined when there is no such partition. */
export async function rangeOf(cluster: Cluster, place: Place): Promise<OffsetRange | undefined> {
  const [start, end] = await Promise.all([offsetAtTime(cluster, place, earliestOffset), offsetAtTime(cluster, place, latestOffset)]);
  return start === undefined || end === undefined ? undefined : { start, end };
}

/** The first offset at or after a time, or a special one; -1 when nothing is that young; undefined when there is no such partition. */
export function offsetAtTime(cluster: Cluster, { topic, partition }: Place, timestamp: number): Promise<number | undefined> {
  return cluster.patiently(async (): Promise<number | undefined | Again> => {
    const leader = await cluster.leader(topic, partition);
    if (leader === undefined) return undefined;
    const [found] = await (await cluster.broker(leader)).call(listOffsetsApi, { partitions: [{ topic, partition, timestamp }] });
    const error = found?.error ?? -1;
    if (error === errorCode.none) return found?.offset;
    cluster.forget(topic);
    return againOrThrow(error, `the offsets of partition ${partition} of ${topic}`);
  });
}
