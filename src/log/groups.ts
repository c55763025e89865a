import type { Lead } from './log.ts';

/** Where a group goes on in a partition. */
export interface GroupOffset {
  readonly topic: string;
  readonly partition: number;
  /** Of the first record that it has not had. */
  readonly offset: number;
}

/**
 * Where consumer groups have read to, kept beside the records of a log: on Kafka where Kafka's own groups are, so that its tools show them;
 * in the folder of an embedded log, where nobody who only reads needs the writer's lock. Only of this log's topics.
 */
export interface ConsumerGroups {
  /** Those that have an offset in this log. */
  names(): Promise<readonly string[]>;
  /** By topic and partition; none for a group that is not there. */
  read(group: string): Promise<readonly GroupOffset[]>;
  /** Offsets of other partitions stay. Durable when resolved. The caller holds the group. */
  commit(group: string, offsets: readonly GroupOffset[]): Promise<void>;
  /** Its offsets in this log go; those that Kafka has for other topics stay. The caller holds the group. */
  forget(group: string): Promise<void>;
  /** Waits until nobody else has the group: one consumer at a time is one. Gone with its process, however that dies. */
  hold(group: string, signal: AbortSignal): Promise<Lead>;
  close(): Promise<void>;
}

export function byPlace(a: GroupOffset, b: GroupOffset): number {
  return a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1;
}
