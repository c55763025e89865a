import { existsSync, mkdirSync, renameSync, unlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TailraceError } from '../../runtime/errors.ts';
import { failpoint } from '../../runtime/failpoint.ts';
import type { TopicOptions, TopicSpec } from '../log.ts';
import { syncDirectory, writeFileDurably } from './durable-files.ts';
import { DELETED, DIRECTORY_MODE, UNFINISHED, escapeTopic, partitionPath, topicPath, topicsPath } from './layout.ts';
import { topicJson } from './manifest.ts';

/** Under another name first: a topic is there whole or not at all. */
export async function makeTopic(directory: string, spec: TopicSpec): Promise<void> {
  checkSpec(spec);
  const unfinished = unfinishedPath(directory, spec.topic);
  mkdirSync(unfinished, { recursive: true, mode: DIRECTORY_MODE });
  for (let partition = 0; partition < spec.partitions; partition++) {
    mkdirSync(join(unfinished, String(partition)), { recursive: true, mode: DIRECTORY_MODE });
  }
  await writeFileDurably(join(unfinished, 'topic.json'), topicJson(spec));
  renameSync(unfinished, topicPath(directory, spec.topic));
  await syncDirectory(topicsPath(directory));
}

/** The folders first: the number in topic.json is what counts. */
export async function addPartitions(directory: string, { topic, partitions }: TopicSpec): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) mkdirSync(partitionPath(directory, topic, partition), { recursive: true, mode: DIRECTORY_MODE });
  await syncDirectory(topicPath(directory, topic));
  failpoint('log.partitions_made');
  await writeFileDurably(join(topicPath(directory, topic), 'topic.json'), topicJson({ topic, partitions }));
}

export async function markDeleted(directory: string, topic: string): Promise<void> {
  await writeFileDurably(join(topicPath(directory, topic), DELETED), Buffer.alloc(0));
}

/** One whose deletion came to nothing stays. */
export async function unmarkDeleted(directory: string, topic: string): Promise<void> {
  unlinkSync(join(topicPath(directory, topic), DELETED));
  await syncDirectory(topicPath(directory, topic));
}

export function isMarkedDeleted(directory: string, topic: string): boolean {
  return existsSync(join(topicPath(directory, topic), DELETED));
}

/** Under another name first, which nobody takes for a topic: readers see it whole or not at all. */
export async function removeTopic(directory: string, topic: string): Promise<void> {
  const unfinished = unfinishedPath(directory, topic);
  await rm(unfinished, { recursive: true, force: true });
  renameSync(topicPath(directory, topic), unfinished);
  await syncDirectory(topicsPath(directory));
  failpoint('log.delete_renamed');
  await rm(unfinished, { recursive: true, force: true });
}

export function refuseOptions({ replication, settings = {} }: TopicOptions): void {
  const [setting] = Object.keys(settings);
  if (setting === undefined && (replication === undefined || replication === 1)) return;
  const what = setting === undefined ? `a replication factor of ${replication}` : `the setting ${setting}`;
  throw new TailraceError('usage', `${what} is Kafka's: topics of the embedded log have one copy, and are kept as the whole log is`, {
    remedy: 'Leave it out; log.segment_size and log.retention of the connector file go for the whole log.',
  });
}

function unfinishedPath(directory: string, topic: string): string {
  return join(topicsPath(directory), UNFINISHED + escapeTopic(topic));
}

function checkSpec(spec: TopicSpec): void {
  const { topic, partitions } = spec;
  if (topic !== '' && topic.isWellFormed() && Number.isInteger(partitions) && partitions >= 1) return;
  throw new TailraceError('internal', `not a topic: ${JSON.stringify(spec)}`);
}
