import { failpoint } from '../../runtime/failpoint.ts';
import { encodeMark, markHeaderName, type SourceMark } from './mark.ts';
import type { MergedRecord, MergeSource } from './merge-source.ts';

export interface MergerOptions {
  /** In an order that is the same each time: it decides between equal times. */
  readonly sources: readonly MergeSource[];
  /** Of the events that are merged already; null when there are none. */
  readonly codec: number | null;
  /** Of the next record in the merged topic. */
  readonly end: number;
  /** Appends to the merged topic if that still ends at the offset, all of it or nothing, and resolves when it is durable. */
  readonly append: (records: readonly MergedRecord[], end: number) => Promise<void>;
  /** Throws for an event in another format than those before it. */
  readonly refuseFormat: (topic: string, codec: number, before: number) => never;
  /** So many records are merged; a part of what there is, from 0 to 1. */
  readonly onProgress: (records: number, part: number) => void;
}

/** What goes into one append: one batch, so that the last record's mark is there if any of it is. */
const mostBytes = 512 << 10;
const mostRecords = 5000;
/** Lengths, offset and time of a record; a length of a header's name and value. */
const [overhead, headerOverhead] = [24, 4];

/**
 * Merges sources into one topic: each one's order is kept, and between them the earliest comes first. How far each has come stands in the
 * last record of every append, so that a merge that is cut off anywhere goes on behind what is durable.
 */
export class Merger {
  readonly #options: MergerOptions;
  #end: number;
  #codec: number | null;
  #batch: MergedRecord[] = [];
  #bytes = 0;
  #merged = 0;

  constructor(options: MergerOptions) {
    this.#options = options;
    this.#end = options.end;
    this.#codec = options.codec;
  }

  /** Merges what was there when the sources were opened; resolves with how many records that were. */
  async run(): Promise<number> {
    const { sources } = this.#options;
    const times = await Promise.all(sources.map((source) => source.next()));
    for (let first = earliest(times); first >= 0; first = earliest(times)) {
      const source = sources[first] as MergeSource;
      // Of the last record that is in the batch: the source itself is one further when it hands out the next.
      let mark = source.mark();
      for await (const record of source.take()) {
        if (this.#batch.length >= mostRecords || this.#bytes + sizeOf(record) > mostBytes) await this.#flush(source, mark);
        this.#add(record);
        mark = source.mark();
      }
      times[first] = await source.next();
    }
    await this.#flush();
    return this.#merged;
  }

  #add(record: MergedRecord): void {
    const { codec, topic } = record;
    if (codec !== null) {
      if (this.#codec !== null && codec !== this.#codec) this.#options.refuseFormat(topic, codec, this.#codec);
      this.#codec = codec;
    }
    this.#batch.push(record);
    this.#bytes += sizeOf(record);
  }

  async #flush(current?: MergeSource, mark?: SourceMark): Promise<void> {
    const last = this.#batch.pop();
    if (last === undefined) return;
    const { sources, append, onProgress } = this.#options;
    const marks = sources.map((source) => (source === current && mark !== undefined ? mark : source.mark()));
    const headers = [...last.headers, [markHeaderName, encodeMark({ codec: this.#codec, sources: marks })] as const];
    const records = [...this.#batch, { ...last, headers }];
    await append(records, this.#end);
    failpoint('merge.appended');
    this.#end += records.length;
    this.#merged += records.length;
    this.#batch = [];
    this.#bytes = 0;
    onProgress(this.#merged, sources.reduce((sum, source) => sum + source.progress, 0) / sources.length);
  }
}

function sizeOf({ key, value, headers }: MergedRecord): number {
  const rest = headers.reduce((sum, [name, content]) => sum + name.length + (content?.length ?? 0) + headerOverhead, overhead);
  return (key?.length ?? 0) + (value?.length ?? 0) + rest;
}

/** Which comes first, the one in front of equal ones; -1 when all are through. */
function earliest(times: readonly (bigint | null)[]): number {
  let first = -1;
  for (const [i, time] of times.entries()) if (time !== null && (first < 0 || time < (times[first] as bigint))) first = i;
  return first;
}
