import type { LogReader } from '../log/log.ts';
import type { Logger } from '../runtime/logger.ts';
import { decodeControl, type TransactionRecord } from './control-records.ts';
import { readSinkRecords, records } from './log-state.ts';
import type { Publisher } from './publisher.ts';
import { topicNames, type TopicNames } from './topics.ts';

export interface RetentionRules {
  readonly name: string;
  /** Milliseconds and bytes; undefined keeps everything. */
  readonly retention: { readonly age?: number | undefined; readonly size?: number | undefined } | undefined;
  readonly sinks: readonly { readonly name: string; readonly hold: boolean }[];
}

/**
 * Lets go of old transactions (PROTOCOL, Retention): their ENDs first, then the events that they named, so that whatever dies
 * in between leaves no END without its events. By age only what no sink needs any more; at the size limit the oldest goes
 * whoever needs it, unless a sink holds it. `schema` and the last START and END always stay.
 */
export async function enforceRetention(publisher: Publisher, rules: RetentionRules, logger: Logger): Promise<void> {
  const { retention } = rules;
  if (retention?.age === undefined && retention?.size === undefined) return;
  const topics = topicNames(rules.name);
  const { reader, writer, session } = publisher;
  // Without a connection nothing new comes in, and nobody has to make room.
  if (session === null) return;
  const { cornerstone } = session.start;
  const before = await reader.range(topics.transaction, 0);
  const size = retention.size === undefined ? 0 : await writer.size();
  const excess = size - (retention.size ?? 0);
  const limits = {
    start: before.start,
    end: cornerstone,
    aged: retention.age === undefined ? before.start : await reader.offsetAt(topics.transaction, 0, Date.now() - retention.age),
    // ENDs stand for events of all sizes; what is still too large goes with one of the next rounds.
    oversized: excess <= 0 ? before.start : before.start + Math.ceil((before.end - before.start) * Math.min(1, excess / size)),
    sinks: await Promise.all(rules.sinks.map(async ({ name, hold }) => ({ hold, offset: await neededFrom(reader, topics, name) }))),
  };
  if (cutOffset({ ...limits, end: before.end }) > cornerstone) session.start.request();
  const cut = cutOffset(limits);
  if (cut <= before.start) return;
  await publisher.exclusively(() => writer.trim(topics.transaction, 0, cut));
  const { start } = await reader.range(topics.transaction, 0);
  if (start === before.start) return;
  const trimmed = await trimEvents(publisher, topics);
  logger.info({ transactions: start - before.start, topics: trimmed }, 'old transactions were let go of');
}

/** Where the `transaction` topic is cut; pure, so that the rule has its own test. */
export function cutOffset(of: {
  readonly start: number;
  /** Never cut at or behind this: the last START and END stay. */
  readonly end: number;
  readonly aged: number;
  readonly oversized: number;
  readonly sinks: readonly { readonly hold: boolean; readonly offset: number }[];
}): number {
  const needed = Math.min(...of.sinks.map((sink) => sink.offset), of.end);
  const held = Math.min(...of.sinks.filter((sink) => sink.hold).map((sink) => sink.offset), of.end);
  return Math.max(of.start, Math.min(of.aged, needed), Math.min(of.oversized, held));
}

/** From which offset of `transaction` on a sink still needs everything: the END that it stands at, 0 before its first. */
async function neededFrom(reader: LogReader, topics: TopicNames, sink: string): Promise<number> {
  let offset = 0;
  for (const record of await readSinkRecords(reader, topics, sink)) {
    if (record.type === 'position') offset = record.offset;
    else if (record.type === 'forgotten') offset = Number.MAX_SAFE_INTEGER;
    else if (record.type === 'register' && record.at.epoch === 0) offset = 0;
  }
  return offset;
}

/** Trims each events topic to the first offset that an END which is still there names. */
async function trimEvents(publisher: Publisher, topics: TopicNames): Promise<number> {
  const { reader, writer } = publisher;
  const first = new Map<string, { readonly topic: string; readonly partition: number; readonly offset: number }>();
  for await (const cursor of records(reader, topics.transaction)) {
    const record = decodeControl<TransactionRecord>(cursor.value, topics.transaction);
    if (record.type !== 'end') continue;
    for (const part of record.parts) {
      const key = `${part.topic}/${part.partition}`;
      if (!first.has(key)) first.set(key, { topic: part.topic, partition: part.partition, offset: part.first });
    }
  }
  await publisher.exclusively(async () => {
    for (const { topic, partition, offset } of first.values()) await writer.trim(topic, partition, offset);
  });
  return first.size;
}
