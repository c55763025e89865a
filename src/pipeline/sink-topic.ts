import type { LogReader } from '../log/log.ts';
import { decodeControl, encodeControl } from './control-json.ts';
import type { SinkRecord } from './control-records.ts';
import { controlDraft } from './group.ts';
import { records } from './log-state.ts';
import type { Retained } from './retention.ts';
import type { TopicNames } from './topics.ts';

/** A sink says where it is once a second at most: this many records are a day of it, or so. */
const tidyAfter = 50_000;

/** The records of one sink's own topic. */
export async function readSinkRecords(reader: LogReader, topics: TopicNames, sink: string): Promise<SinkRecord[]> {
  const found: SinkRecord[] = [];
  const topic = topics.sink(sink);
  for await (const cursor of records(reader, topic)) {
    found.push(decodeControl<SinkRecord>(cursor.value, `${topic} at offset ${cursor.offset}`));
  }
  return found;
}

/** A sink that was forgotten has no past: what it said before counts no longer. */
export function sinceForgotten(said: readonly SinkRecord[]): readonly SinkRecord[] {
  return said.slice(said.findLastIndex((record) => record.type === 'forgotten') + 1);
}

/** What of all that a sink has said still counts, in an order in which it means the same. */
export function whatCounts(said: readonly SinkRecord[]): readonly SinkRecord[] {
  const last = said.at(-1);
  if (last?.type === 'forgotten') return [last];
  const counting = sinceForgotten(said);
  const asks = new Map<string, SinkRecord>();
  for (const record of counting) if (record.type === 'ask') asks.set(record.table, record);
  const register = counting.findLastIndex((record) => record.type === 'register');
  const position = counting.findLastIndex((record) => record.type === 'position');
  const standing = [register, position].filter((index) => index >= 0).toSorted((a, b) => a - b);
  return [...asks.values(), ...standing.map((index) => counting[index] as SinkRecord)];
}

/** Writes what counts of a long sink topic once more at its end, and lets go of what stands before: where the topic is ours to write. */
export async function tidySinkTopic(publisher: Retained, topics: TopicNames, of: { readonly sink: string; readonly longerThan?: number }): Promise<void> {
  const topic = topics.sink(of.sink);
  const { start, end } = publisher.writer.range(topic, 0);
  if (!publisher.isOnlyWriter || end - start <= (of.longerThan ?? tidyAfter)) return;
  await publisher.exclusively(async (writer) => {
    const kept = whatCounts(await readSinkRecords(publisher.reader, topics, of.sink));
    const from = writer.range(topic, 0).end;
    writer.roll?.(topic, 0);
    const batch = writer.batch(topic, 0);
    for (const record of kept) batch.add(controlDraft(encodeControl(record), Date.now()));
    await writer.append([batch]);
    await writer.trim(topic, 0, from);
  });
}

/** Follows a sink's topic for one thing: from which offset of `transaction` on the sink still needs everything. */
export class SinkNeeds {
  readonly #topic: string;
  #next = 0;
  /** A sink that has never said anything needs all of it. */
  #offset = 0;

  constructor(topics: TopicNames, sink: string) {
    this.#topic = topics.sink(sink);
  }

  /** The END that the sink stands at, as far as it has said so. */
  async offset(reader: LogReader): Promise<number> {
    for await (const cursor of records(reader, this.#topic, this.#next)) {
      this.#next = cursor.offset + 1;
      const record = decodeControl<SinkRecord>(cursor.value, `${this.#topic} at offset ${cursor.offset}`);
      if (record.type === 'position' || record.type === 'register') this.#offset = record.offset;
      else if (record.type === 'forgotten') this.#offset = Number.MAX_SAFE_INTEGER;
    }
    return this.#offset;
  }
}
