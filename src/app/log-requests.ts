import type { BatchBuilder, LogWriter, Rewriting } from '../log/log.ts';
import { TailraceError } from '../runtime/errors.ts';
import { failpoint } from '../runtime/failpoint.ts';
import type { Slice } from '../runtime/slice.ts';
import { formatSize } from '../runtime/units.ts';
import type { LogRequest, ProducedRecord } from './control/log-request.ts';

/** Whether it was done: a topic may be there already, or not be there. */
export interface LogReply {
  readonly done: boolean;
  /** Of the whole topic, where it was compacted. */
  readonly sizes?: Rewriting;
  /** Of a topic that records were to be appended to: where its first partition ends now. */
  readonly end?: number;
}

export async function performOnLog(writer: LogWriter, request: LogRequest): Promise<LogReply> {
  const there = writer.topics().some(({ topic }) => topic === request.topic);
  switch (request.do) {
    case 'create':
      if (there) return { done: false };
      await writer.createTopic({ topic: request.topic, partitions: request.partitions }, { replication: request.replication ?? undefined, settings: request.settings });
      return { done: true };
    case 'alter':
      if (!there) return { done: false };
      await writer.alterTopic(request.topic, { partitions: request.partitions ?? undefined, settings: request.settings });
      return { done: true };
    case 'delete':
      if (!there) return { done: false };
      await writer.deleteTopic(request.topic);
      return { done: true };
    case 'append':
      if (!there) return { done: false };
      if (request.end !== undefined && writer.range(request.topic, 0).end !== request.end) return { done: false, end: writer.range(request.topic, 0).end };
      await appendRecords(writer, request.topic, request.records);
      failpoint('request.appended');
      return { done: true, end: writer.range(request.topic, 0).end };
    case 'compact':
      if (!there) return { done: false };
      return { done: true, sizes: await compactTopic(writer, request) };
  }
}

/** Everything that is there by now, by key; and no more segments than that needs. */
async function compactTopic(writer: LogWriter, { topic, deleteRetention }: { readonly topic: string; readonly deleteRetention: number }): Promise<Rewriting> {
  if (writer.compact === undefined) {
    throw new TailraceError('usage', "on Kafka the brokers compact, when they see fit", { remedy: `Tell them to: tailrace topics alter ${topic} --config cleanup.policy=compact` });
  }
  const sum = { before: { bytes: 0, segments: 0 }, after: { bytes: 0, segments: 0 } };
  const partitions = writer.topics().find((spec) => spec.topic === topic)?.partitions ?? 0;
  for (let partition = 0; partition < partitions; partition++) {
    const { before } = await writer.compact(topic, partition, { below: Number.MAX_SAFE_INTEGER, deleteRetention, roll: true });
    const after = (await writer.merge?.(topic, partition, 2))?.after ?? before;
    for (const [to, from] of [[sum.before, before], [sum.after, after]] as const) {
      to.bytes += from.bytes;
      to.segments += from.segments;
    }
  }
  return sum;
}

/** All of them in one append: on the embedded log that is one group, which is there whole or not at all. */
async function appendRecords(writer: LogWriter, topic: string, records: readonly ProducedRecord[]): Promise<void> {
  const partitions = writer.topics().find((spec) => spec.topic === topic)?.partitions ?? 1;
  const ends = Array.from({ length: partitions }, (_, partition) => writer.range(topic, partition).end);
  // Records without a key go by turns, those of one request together.
  const turn = ends.reduce((sum, end) => sum + end, 0) % partitions;
  const batches = new Map<number, BatchBuilder>();
  for (const { key, value, headers, timestamp, partition } of records) {
    const draft = { timestamp, key: sliceOf(key), value: sliceOf(value), headers: headers.map(([name, content]) => ({ name, value: sliceOf(content) })) };
    const to = partition ?? (key === null ? turn : writer.partitionOf(draft.key, partitions));
    if (to >= partitions) throw new TailraceError('usage', `${topic} has no partition ${to}`, { remedy: `It has ${partitions === 1 ? 'partition 0 alone' : `0 to ${partitions - 1}`}.` });
    let batch = batches.get(to);
    if (batch === undefined) batches.set(to, (batch = writer.batch(topic, to)));
    const excess = batch.oversize(draft);
    if (excess !== undefined) throw new TailraceError('log-record-too-large', `a record has ${formatSize(excess.bytes)}: ${excess.limits}`);
    batch.add(draft);
  }
  await writer.append([...batches.values()]);
}

function sliceOf(base64: string | null): Slice {
  const bytes = Buffer.from(base64 ?? '', 'base64');
  return base64 === null ? { bytes, start: -1, end: -1 } : { bytes, start: 0, end: bytes.length };
}
