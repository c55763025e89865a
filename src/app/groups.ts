import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { ConsumerGroups } from '../log/groups.ts';
import type { LogReader } from '../log/log.ts';
import { TailraceError } from '../runtime/errors.ts';
import { shortened } from '../runtime/printable.ts';
import { withGroups } from './consuming-group.ts';
import { findTopic, withLogReader } from './topics.ts';

export interface GroupPlace {
  readonly pipeline: string;
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  /** Of the next record that the group gets. */
  readonly currentOffset: number;
  /** Of the next record that the partition gets; null where the topic is gone. */
  readonly logEndOffset: number | null;
  readonly lag: number | null;
}

/** A group that is being consumed is left after this time: it would be altered behind its consumer's back. */
const holdPatience = 8000;

/** Where groups stand, of all pipelines; `only`: this group's. */
export async function describeGroups(configs: readonly PipelineConfig[], only?: string): Promise<readonly GroupPlace[]> {
  const found: GroupPlace[] = [];
  for (const config of configs) {
    found.push(...(await withGroups(config, (groups) => withLogReader(config, async (reader) => {
      const places: GroupPlace[] = [];
      for (const group of only === undefined ? await groups.names() : [only]) places.push(...(await placesOf(config.name, group, { groups, reader })));
      return places;
    }))));
  }
  return found;
}

async function placesOf(pipeline: string, group: string, { groups, reader }: { groups: ConsumerGroups; reader: LogReader }): Promise<readonly GroupPlace[]> {
  const topics = new Set((await reader.topics()).map(({ topic }) => topic));
  return Promise.all((await groups.read(group)).map(async ({ topic, partition, offset }) => {
    const end = topics.has(topic) ? (await reader.range(topic, partition)).end : null;
    return { pipeline, group, topic, partition, currentOffset: offset, logEndOffset: end, lag: end === null ? null : Math.max(0, end - offset) };
  }));
}

/** Forgets where a group stands in the pipelines that it reads. */
export async function deleteGroup(configs: readonly PipelineConfig[], group: string): Promise<void> {
  let known = false;
  for (const config of configs) {
    await withGroups(config, async (groups) => {
      if ((await groups.read(group)).length === 0) return;
      known = true;
      await holding(groups, group, () => groups.forget(group));
    });
  }
  if (!known) throw noGroup(group);
}

export type ResetTo =
  | { readonly to: 'earliest' | 'latest' | 'current' }
  | { readonly offset: number }
  /** Milliseconds since 1970. */
  | { readonly time: number }
  | { readonly by: number };

export interface Reset {
  readonly group: string;
  readonly topic: string;
  readonly partition: number | undefined;
  readonly to: ResetTo;
  /** Else it is only worked out. */
  readonly execute: boolean;
}

/** Where the group goes on from then on; offsets beyond what is held become the nearest that is, as Kafka's tool does it. */
export async function resetOffsets(configs: readonly PipelineConfig[], reset: Reset): Promise<readonly GroupPlace[]> {
  const { config, topic, partitions } = await findTopic(configs, reset.topic);
  if (reset.partition !== undefined && reset.partition >= partitions) throw new TailraceError('usage', `${topic} has no partition ${reset.partition}`);
  const wanted = reset.partition === undefined ? Array.from({ length: partitions }, (_, i) => i) : [reset.partition];
  return withGroups(config, (groups) => withLogReader(config, async (reader) => {
    const plan = async (): Promise<readonly GroupPlace[]> => {
      const known = await groups.read(reset.group);
      return Promise.all(wanted.map(async (partition) => {
        const { start, end } = await reader.range(topic, partition);
        const now = known.find((place) => place.topic === topic && place.partition === partition)?.offset;
        const target = await targetOf(reader, { topic, partition, start, end, now }, reset.to);
        const currentOffset = Math.min(end, Math.max(start, target));
        return { pipeline: config.name, group: reset.group, topic, partition, currentOffset, logEndOffset: end, lag: end - currentOffset };
      }));
    };
    if (!reset.execute) return plan();
    return holding(groups, reset.group, async () => {
      const places = await plan();
      await groups.commit(reset.group, places.map(({ partition, currentOffset }) => ({ topic, partition, offset: currentOffset })));
      return places;
    });
  }));
}

async function targetOf(reader: LogReader, of: { topic: string; partition: number; start: number; end: number; now: number | undefined }, to: ResetTo): Promise<number> {
  if ('offset' in to) return to.offset;
  if ('time' in to) return reader.offsetAt(of.topic, of.partition, to.time);
  if ('by' in to) return (of.now ?? of.start) + to.by;
  return { earliest: of.start, latest: of.end, current: of.now ?? of.end }[to.to];
}

/** While this is the group. */
export async function holding<T>(groups: ConsumerGroups, group: string, work: () => Promise<T>): Promise<T> {
  const signal = AbortSignal.timeout(holdPatience);
  const lead = await groups.hold(group, signal).catch((error: unknown) => {
    throw signal.aborted ? new TailraceError('command-refused', `a consumer is the group ${shortened(group, 60)} now`, { remedy: 'Stop it first.' }) : error;
  });
  try {
    return await work();
  } finally {
    await lead.release();
  }
}

export function noGroup(group: string): TailraceError {
  return new TailraceError('usage', `there is no group ${shortened(group, 60)}`, { remedy: 'See tailrace groups list.' });
}
