import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { LogReader, PartitionSize } from '../log/log.ts';
import { createLog } from '../registry.ts';
import { didYouMean } from '../runtime/did-you-mean.ts';
import { TailraceError } from '../runtime/errors.ts';
import { commandLogger } from '../runtime/logger.ts';
import { shortened } from '../runtime/printable.ts';
import { kindOf, type TopicKind } from './topic-kind.ts';

export interface TopicDescription {
  readonly pipeline: string;
  readonly topic: string;
  readonly kind: TopicKind;
  readonly partitions: readonly PartitionDescription[];
}

export interface PartitionDescription {
  readonly partition: number;
  /** First offset held, and the one that the next record gets. */
  readonly start: number;
  readonly end: number;
  /** Milliseconds since 1970 of the first and the last record; null for an empty partition. */
  readonly firstAt: number | null;
  readonly lastAt: number | null;
  /** On disk; `segments` is null where the log does not say (Kafka). */
  readonly bytes: number;
  readonly segments: number | null;
}

/** Reads a pipeline's log, which another process may be writing. */
export async function withLogReader<T>(config: PipelineConfig, use: (reader: LogReader) => Promise<T>): Promise<T> {
  const reader = await (await createLog(config.log, { pipeline: config.name, logger: commandLogger })).openReader();
  try {
    return await use(reader);
  } finally {
    await reader.close();
  }
}

/** All topics of a pipeline by name, or only one. Reads two records a partition: cheap on a log of any size. */
export function describeTopics(config: PipelineConfig, only?: string): Promise<readonly TopicDescription[]> {
  return withLogReader(config, async (reader) => {
    const topics = (await reader.topics()).filter((spec) => only === undefined || spec.topic === only).sort((a, b) => (a.topic < b.topic ? -1 : 1));
    const found: TopicDescription[] = [];
    for (const spec of topics) {
      const { topic } = spec;
      const described: PartitionDescription[] = [];
      for (const [partition, size] of (await reader.sizes(spec)).entries()) described.push({ ...(await describePartition(reader, topic, partition)), ...size });
      found.push({ pipeline: config.name, topic, kind: kindOf(config.name, topic), partitions: described });
    }
    return found;
  });
}

async function describePartition(reader: LogReader, topic: string, partition: number): Promise<Omit<PartitionDescription, keyof PartitionSize>> {
  const { start, end } = await reader.range(topic, partition);
  const timeAt = async (offset: number): Promise<number | null> => {
    const cursor = await reader.fetch(topic, partition, offset, 1);
    while (cursor.next()) if (cursor.offset >= offset) return cursor.timestamp;
    return null;
  };
  const empty = start >= end;
  return { partition, start, end, firstAt: empty ? null : await timeAt(start), lastAt: empty ? null : await timeAt(end - 1) };
}

/** The pipeline whose topic it is or would be: `shop.public.orders`, or `public.orders` where there is one pipeline only. */
export function topicOwner(configs: readonly PipelineConfig[], name: string): { readonly config: PipelineConfig; readonly topic: string } {
  const [only] = configs;
  const topic = configs.some((config) => name.startsWith(`${config.name}.`)) || configs.length > 1 || only === undefined ? name : `${only.name}.${name}`;
  const config = configs.find((candidate) => topic.startsWith(`${candidate.name}.`));
  if (config !== undefined && topic.length > config.name.length + 1) return { config, topic };
  throw new TailraceError('usage', `no pipeline has a topic ${shortened(name, 80)}`, { remedy: `a topic begins with its pipeline's name: ${configs.map((known) => known.name).join(', ')}` });
}

/** The same for one that is there. */
export async function findTopic(
  configs: readonly PipelineConfig[],
  name: string,
): Promise<{ readonly config: PipelineConfig; readonly topic: string; readonly partitions: number }> {
  const { config, topic } = topicOwner(configs, name);
  const topics = await withLogReader(config, (reader) => reader.topics());
  const found = topics.find((spec) => spec.topic === topic);
  if (found !== undefined) return { config, topic, partitions: found.partitions };
  const near = didYouMean(topic, topics.map((spec) => spec.topic));
  throw new TailraceError('usage', `there is no topic ${shortened(topic, 80)}${near === undefined ? '' : `, did you mean ${near}?`}`, { remedy: 'see tailrace topics list' });
}
