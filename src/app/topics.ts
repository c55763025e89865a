import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { LogReader } from '../log/log.ts';
import { topicNames, writerOf } from '../pipeline/topics.ts';
import { createLog } from '../registry.ts';
import { didYouMean } from '../runtime/did-you-mean.ts';
import { TailraceError } from '../runtime/errors.ts';
import { silentLogger } from '../runtime/logger.ts';
import { shortened } from '../runtime/printable.ts';

export interface TopicDescription {
  readonly pipeline: string;
  readonly topic: string;
  /** `events` of a table or of a stream's output, or one of the pipeline's own. */
  readonly kind: 'events' | 'message' | 'transaction' | 'schema' | 'sink' | 'dead-letter' | 'job';
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
}

/** Reads a pipeline's log, which another process may be writing. */
export async function withLogReader<T>(config: PipelineConfig, use: (reader: LogReader) => Promise<T>): Promise<T> {
  const reader = await createLog(config.log, { pipeline: config.name, logger: silentLogger }).openReader();
  try {
    return await use(reader);
  } finally {
    await reader.close();
  }
}

/** All topics of a pipeline by name. Reads two records a partition: cheap on a log of any size. */
export function describeTopics(config: PipelineConfig): Promise<readonly TopicDescription[]> {
  return withLogReader(config, async (reader) => {
    const topics = [...(await reader.topics())].sort((a, b) => (a.topic < b.topic ? -1 : 1));
    const found: TopicDescription[] = [];
    for (const { topic, partitions } of topics) {
      const described: PartitionDescription[] = [];
      for (let partition = 0; partition < partitions; partition++) described.push(await describePartition(reader, topic, partition));
      found.push({ pipeline: config.name, topic, kind: kindOf(config.name, topic), partitions: described });
    }
    return found;
  });
}

async function describePartition(reader: LogReader, topic: string, partition: number): Promise<PartitionDescription> {
  const { start, end } = await reader.range(topic, partition);
  const timeAt = async (offset: number): Promise<number | null> => {
    const cursor = await reader.fetch(topic, partition, offset, 1);
    while (cursor.next()) if (cursor.offset >= offset) return cursor.timestamp;
    return null;
  };
  const empty = start >= end;
  return { partition, start, end, firstAt: empty ? null : await timeAt(start), lastAt: empty ? null : await timeAt(end - 1) };
}

function kindOf(pipeline: string, topic: string): TopicDescription['kind'] {
  const names = topicNames(writerOf(pipeline, topic));
  if (topic === names.transaction) return 'transaction';
  if (topic === names.schema) return 'schema';
  if (topic === names.message) return 'message';
  if (topic.startsWith(names.sink(''))) return 'sink';
  if (topic.startsWith(names.job(''))) return 'job';
  return topic.startsWith(names.deadLetter('')) ? 'dead-letter' : 'events';
}

/** The pipeline whose topic it is: `shop.public.orders`, or `public.orders` where there is one pipeline only. */
export async function findTopic(
  configs: readonly PipelineConfig[],
  name: string,
): Promise<{ readonly config: PipelineConfig; readonly topic: string; readonly partitions: number }> {
  const [only] = configs;
  const full = configs.some((config) => name.startsWith(`${config.name}.`)) || configs.length > 1 || only === undefined ? name : `${only.name}.${name}`;
  const config = configs.find((candidate) => full.startsWith(`${candidate.name}.`));
  if (config === undefined) {
    throw new TailraceError('usage', `no pipeline has a topic ${shortened(name, 80)}`, { remedy: `a topic begins with its pipeline's name: ${configs.map((known) => known.name).join(', ')}` });
  }
  const topics = await withLogReader(config, (reader) => reader.topics());
  const found = topics.find(({ topic }) => topic === full);
  if (found === undefined) {
    const near = didYouMean(full, topics.map(({ topic }) => topic));
    throw new TailraceError('usage', `there is no topic ${shortened(full, 80)}${near === undefined ? '' : `, did you mean ${near}?`}`, { remedy: 'see tailrace topics list' });
  }
  return { config, topic: full, partitions: found.partitions };
}
