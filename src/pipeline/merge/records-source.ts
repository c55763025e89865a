import type { LogReader, RecordCursor } from '../../log/log.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { copiedHeaderName } from '../group.ts';
import { logHeaderName, markHeaderName, topicHeaderName, type RecordsMark, type SourceName } from './mark.ts';
import { type MergedRecord, type MergeSource } from './merge-source.ts';
import { bytesOf } from './transaction-source.ts';

export interface RecordsSourceOptions {
  readonly reader: LogReader;
  readonly name: SourceName;
  readonly mark: RecordsMark | null;
  readonly isForeign: boolean;
}

const memory = 8 << 20;

/** A topic that people produce to: its records by their time, those of each partition in their order. */
export class RecordsSource implements MergeSource {
  readonly name: SourceName;
  readonly #isForeign: boolean;
  readonly #walks: readonly Walk[];
  #first: Walk | null = null;

  private constructor({ name, isForeign }: RecordsSourceOptions, walks: readonly Walk[]) {
    this.name = name;
    this.#isForeign = isForeign;
    this.#walks = walks;
  }

  static async open(options: RecordsSourceOptions): Promise<RecordsSource> {
    const { reader, name, mark } = options;
    const topic = name.writer;
    const partitions = (await reader.topics()).find((spec) => spec.topic === topic)?.partitions ?? 0;
    const walks: Walk[] = [];
    for (let partition = 0; partition < partitions; partition++) {
      const { start, end } = await reader.range(topic, partition);
      const from = mark?.offsets[partition];
      if (from !== undefined && (from < start || from > end)) throw passed(topic, { partition, from, start, end });
      walks.push(new Walk(reader, { topic, partition, from: from ?? start, end, fetchBytes: Math.max(16 << 10, Math.floor(memory / partitions)) }));
    }
    return new RecordsSource(options, walks);
  }

  get progress(): number {
    const all = this.#walks.reduce((sum, walk) => sum + walk.end - walk.from, 0);
    return all === 0 ? 1 : this.#walks.reduce((sum, walk) => sum + walk.offset - walk.from, 0) / all;
  }

  async next(): Promise<bigint | null> {
    this.#first = null;
    for (const walk of this.#walks) if ((await walk.fill()) && (this.#first === null || walk.time < this.#first.time)) this.#first = walk;
    if (this.#first === null) return null;
    return BigInt(this.#first.time) * 1000n;
  }

  async *take(): AsyncGenerator<MergedRecord> {
    const cursor = this.#first?.taken();
    if (cursor === undefined) return;
    const own = cursor.headers().filter(([name]) => name !== markHeaderName && name !== copiedHeaderName).map(([name, value]) => [name, bytesOf(value)] as const);
    const topic = this.name.writer;
    const from: (readonly [string, Uint8Array])[] = [[topicHeaderName, Buffer.from(topic)], ...(this.#isForeign ? [[logHeaderName, Buffer.from(this.name.log)] as const] : [])];
    yield { timestamp: cursor.timestamp, key: bytesOf(cursor.key), value: bytesOf(cursor.value), headers: [...own, ...from], codec: null, topic };
  }

  mark(): RecordsMark {
    const { log, writer, topics } = this.name;
    return { log, writer, topics, offsets: this.#walks.map(({ offset }) => offset) };
  }
}

/** One partition, up to its end as it was when the merge began. */
class Walk {
  readonly from: number;
  readonly end: number;
  readonly #reader: LogReader;
  readonly #place: { readonly topic: string; readonly partition: number; readonly fetchBytes: number };
  #cursor: RecordCursor | null = null;
  #isFilled = false;
  /** Of the next record that is not taken yet. */
  offset: number;
  /** Of the record, in milliseconds. */
  time = 0;

  constructor(reader: LogReader, of: { readonly topic: string; readonly partition: number; readonly from: number; readonly end: number; readonly fetchBytes: number }) {
    this.#reader = reader;
    this.#place = of;
    this.from = this.offset = of.from;
    this.end = of.end;
  }

  /** Whether there is a record, which the cursor then shows. */
  async fill(): Promise<boolean> {
    while (!this.#isFilled && this.offset < this.end) {
      const { topic, partition, fetchBytes } = this.#place;
      this.#cursor ??= await this.#reader.fetch(topic, partition, this.offset, fetchBytes);
      if (this.#cursor.next()) {
        if (this.#cursor.offset < this.offset) continue;
        this.offset = Math.min(this.#cursor.offset, this.end);
        this.time = this.#cursor.timestamp;
        this.#isFilled = this.offset < this.end;
      } else {
        // Behind the last record others may have been, which compaction has removed.
        if (this.#cursor.nextOffset <= this.offset) return false;
        this.offset = this.#cursor.nextOffset;
        this.#cursor = null;
      }
    }
    return this.#isFilled;
  }

  taken(): RecordCursor {
    this.#isFilled = false;
    this.offset++;
    return this.#cursor as RecordCursor;
  }
}

function passed(topic: string, { partition, from, start, end }: { readonly partition: number; readonly from: number; readonly start: number; readonly end: number }): TailraceError {
  return new TailraceError('gap', `partition ${partition} of ${topic} is merged up to offset ${from}, and holds ${start} to ${end}: ${from < start ? 'records are gone that were not merged yet' : 'the topic was made anew'}`, {
    remedy: 'What was merged before stays as it is. To merge what the log still holds, merge into another topic, or delete this one first.',
  });
}
