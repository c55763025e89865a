import type { LogReader, LogWriter } from '../log/log.ts';
import { failpoint } from '../runtime/failpoint.ts';
import type { Logger } from '../runtime/logger.ts';
import { decodeControl } from './control-json.ts';
import type { EndRecord, TransactionRecord } from './control-records.ts';
import { compactEvents, type CompactedTopics } from './compaction.ts';
import type { CurrentStart } from './current-start.ts';
import { readSchemaState, records } from './log-state.ts';
import { producedBytes } from './produced-retention.ts';
import { SinkNeeds, tidySinkTopic } from './sink-topic.ts';
import type { TopicNames } from './topics.ts';

/** Whose transactions are let go of: a pipeline's publisher, or that of one of its streams. */
export interface Retained {
  readonly reader: LogReader;
  readonly writer: LogWriter;
  /** Whether nobody else writes to this log, whatever the topic. */
  readonly isOnlyWriter: boolean;
  /** The START under which is published now; null while nothing is. */
  readonly start: Pick<CurrentStart, 'cornerstone' | 'request'> | null;
  exclusively<T>(work: (writer: LogWriter) => Promise<T>): Promise<T>;
}

export interface RetentionRules {
  readonly topics: TopicNames;
  /** Milliseconds and bytes; undefined keeps everything. */
  readonly retention: { readonly age?: number | undefined; readonly size?: number | undefined } | undefined;
  readonly sinks: readonly { readonly name: string; readonly hold: boolean }[];
  /** Of these the events that no END names any more are compacted instead. */
  readonly compacted?: CompactedTopics | undefined;
}

/** ENDs go by segments of their topic: it gets this many of them in what the limits keep. */
const steps = 16;

/**
 * Lets go of old transactions (PROTOCOL, Retention): their ENDs first, then the events that they named, so that whatever dies
 * in between leaves no END without its events. By age only what no sink needs any more; at the size limit the oldest goes
 * whoever needs it, unless a sink holds it. `schema` and the last START and END always stay.
 *
 * Made when the log is open and nothing is published yet, one for each opening.
 */
export class Retention {
  readonly #publisher: Retained;
  readonly #rules: RetentionRules;
  readonly #topics: TopicNames;
  readonly #logger: Logger;
  readonly #needs: readonly { readonly hold: boolean; readonly needs: SinkNeeds }[];
  /** By topic-partition: where it ended when the log was opened. */
  readonly #inherited = new Map<string, number>();
  /**
   * By topic-partition: the events below this offset belong to ENDs that are gone, or to nobody, unless an END that is still
   * there names the topic. Null until the first round: then it is what was inherited of the tables' topics.
   */
  #behind: Map<string, Spot> | null = null;
  #leftovers = true;
  /** The events of compacted topics that no END names any more. */
  #settled: readonly Spot[] = [];
  #size: number | null = null;
  #grown = 0;
  #rolledAt = Date.now();

  constructor(publisher: Retained, rules: RetentionRules, logger: Logger) {
    this.#publisher = publisher;
    this.#rules = rules;
    this.#topics = rules.topics;
    this.#logger = logger;
    this.#needs = rules.sinks.map(({ name, hold }) => ({ hold, needs: new SinkNeeds(this.#topics, name) }));
    for (const { topic, partitions } of publisher.writer.topics()) {
      for (let partition = 0; partition < partitions; partition++) this.#inherited.set(keyOf(topic, partition), publisher.writer.range(topic, partition).end);
    }
  }

  /** One round: to be called from time to time. */
  async enforce(): Promise<void> {
    for (const { name } of this.#rules.sinks) await tidySinkTopic(this.#publisher, this.#topics, { sink: name });
    const { retention } = this.#rules;
    const { start } = this.#publisher;
    // Without a connection nothing new comes in, and nobody has to make room.
    if ((retention?.age === undefined && retention?.size === undefined) || start === null) return;
    const before = this.#publisher.writer.range(this.#topics.transaction, 0);
    const { cornerstone } = start;
    this.#behind ??= await this.#pastEvents();
    const size = retention.size === undefined ? 0 : (await this.#publisher.writer.size()) - (await producedBytes(this.#publisher));
    const limits = await this.#limits(before.start, { ...retention, excess: size - (retention.size ?? 0) });
    if (cutOffset({ ...limits, end: before.end }) > cornerstone) start.request();
    const cut = cutOffset({ ...limits, end: cornerstone });
    if (cut > before.start) await this.#cut(before.start, cut);
    if (this.#leftovers) await this.#trimEvents();
    this.#leftovers = false;
    await this.#compact();
    this.#rollIfDue(retention, size);
  }

  async #limits(start: number, { age, excess }: { readonly age?: number | undefined; readonly excess: number }): Promise<Omit<Limits, 'end'>> {
    const { reader } = this.#publisher;
    return {
      start,
      aged: age === undefined ? start : await reader.offsetAt(this.#topics.transaction, 0, Date.now() - age),
      oversized: excess <= 0 ? start : await this.#behindBytes(start, excess),
      sinks: await Promise.all(this.#needs.map(async ({ hold, needs }) => ({ hold, offset: await needs.offset(reader) }))),
    };
  }

  /** Behind the END with whose events, and those before, so many bytes go. */
  async #behindBytes(start: number, bytes: number): Promise<number> {
    let left = bytes;
    let offset = start;
    for await (const end of ends(this.#publisher.reader, this.#topics.transaction)) {
      if (left <= 0) break;
      left -= end.record.parts.reduce((sum, part) => sum + part.bytes, end.bytes);
      offset = end.offset + 1;
    }
    return offset;
  }

  async #cut(start: number, cut: number): Promise<void> {
    const publisher = this.#publisher;
    const { transaction } = this.#topics;
    for await (const { record, offset } of ends(publisher.reader, transaction)) {
      if (offset >= cut) break;
      for (const { topic, partition, last } of record.parts) this.#behind?.set(keyOf(topic, partition), { topic, partition, offset: last + 1 });
    }
    await publisher.exclusively((writer) => writer.trim(transaction, 0, cut));
    const after = publisher.writer.range(transaction, 0).start;
    if (after === start) return;
    failpoint('retention.ends_gone');
    this.#leftovers = true;
    await this.#trimEvents();
    this.#logger.info({ records: after - start }, 'old transactions were let go of');
  }

  /** Trims each events topic to the first offset that an END which is still there names, or to what the last one that is gone named. */
  async #trimEvents(): Promise<void> {
    const to = new Map(this.#behind);
    const named = new Set<string>();
    for await (const { record } of ends(this.#publisher.reader, this.#topics.transaction)) {
      for (const { topic, partition, first } of record.parts) {
        const key = keyOf(topic, partition);
        if (!named.has(key)) to.set(key, { topic, partition, offset: first });
        named.add(key);
      }
    }
    const isCompacted = ({ topic }: Spot): boolean => this.#rules.compacted?.topics.has(topic) === true;
    this.#settled = [...to.values()].filter(isCompacted);
    await this.#publisher.exclusively(async (writer) => {
      for (const spot of to.values()) if (!isCompacted(spot)) await writer.trim(spot.topic, spot.partition, spot.offset);
    });
  }

  async #compact(): Promise<void> {
    const { compacted } = this.#rules;
    if (compacted === undefined) return;
    // Appends go on meanwhile: what is compacted is not written to any more.
    for (const { topic, partition, offset } of this.#settled) {
      await compactEvents(this.#publisher.writer, { topic, partition, below: offset }, { ...compacted, logger: this.#logger });
    }
  }

  /** What the tables' topics held when the log was opened: nothing was under way then. */
  async #pastEvents(): Promise<Map<string, Spot>> {
    const past = new Map<string, Spot>();
    const { versions } = await readSchemaState(this.#publisher.reader, this.#topics);
    const known = new Set([this.#topics.message, ...versions.flatMap((record) => (record.type === 'version' ? [this.#topics.events(record.shape)] : []))]);
    for (const { topic, partitions } of this.#publisher.writer.topics()) {
      for (let partition = 0; known.has(topic) && partition < partitions; partition++) {
        const key = keyOf(topic, partition);
        const offset = this.#inherited.get(key);
        if (offset !== undefined) past.set(key, { topic, partition, offset });
      }
    }
    return past;
  }

  /** However few bytes an END has, its topic gets segments often enough for the limits to be kept to a part of themselves. */
  #rollIfDue({ age, size }: { readonly age?: number | undefined; readonly size?: number | undefined }, total: number): void {
    this.#grown += Math.max(0, total - (this.#size ?? total));
    this.#size = total;
    const now = Date.now();
    if (this.#grown < (size ?? Number.POSITIVE_INFINITY) / steps && now - this.#rolledAt < (age ?? Number.POSITIVE_INFINITY) / steps) return;
    this.#grown = 0;
    this.#rolledAt = now;
    this.#publisher.writer.roll?.(this.#topics.transaction, 0);
  }
}

/** A place in a topic-partition. */
interface Spot {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

interface Limits {
  readonly start: number;
  /** Never cut at or behind this: the last START and END stay. */
  readonly end: number;
  readonly aged: number;
  readonly oversized: number;
  readonly sinks: readonly { readonly hold: boolean; readonly offset: number }[];
}

/** Where the `transaction` topic is cut; pure, so that the rule has its own test. */
export function cutOffset(of: Limits): number {
  const needed = Math.min(...of.sinks.map((sink) => sink.offset), of.end);
  const held = Math.min(...of.sinks.filter((sink) => sink.hold).map((sink) => sink.offset), of.end);
  return Math.max(of.start, Math.min(of.aged, needed), Math.min(of.oversized, held));
}

async function* ends(reader: LogReader, topic: string): AsyncGenerator<{ readonly record: EndRecord; readonly offset: number; readonly bytes: number }> {
  for await (const cursor of records(reader, topic)) {
    const record = decodeControl<TransactionRecord>(cursor.value, `${topic} at offset ${cursor.offset}`);
    if (record.type === 'end') yield { record, offset: cursor.offset, bytes: cursor.value.end - cursor.value.start };
  }
}

function keyOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}
