import type { BatchBuilder, LogWriter, Placement, RecordDraft } from '../log/log.ts';
import type { Slice } from '../runtime/slice.ts';
import { encodeControl } from './control-json.ts';
import type { EndRecord, Part, ProgressRecord, StartRecord } from './control-records.ts';
import { endBytes } from './end-json.ts';

/**
 * What one transaction has in one topic-partition. A transaction can span many groups; the offsets of its records in a
 * group are known only once the log places that group, and are spans of batch indexes until then.
 */
export class Extent {
  topic = '';
  partition = 0;
  count = 0;
  bytes = 0;
  first = -1;
  last = -1;
  /** In the group being filled. */
  span: Span | null = null;

  static of(topic: string, partition: number): Extent {
    const extent = extents.take() ?? new Extent();
    extent.topic = topic;
    extent.partition = partition;
    extent.count = extent.bytes = 0;
    extent.first = extent.last = -1;
    extent.span = null;
    return extent;
  }

  part(): Part {
    const { topic, partition, count, first, last, bytes } = this;
    return { topic, partition, count, first, last, bytes };
  }
}

/** An extent's records in one batch of one group: indexes of the first and the last. */
class Span {
  extent: Extent | null = null;
  batch: BatchBuilder | null = null;
  first = 0;
  last = 0;
}

/**
 * Objects that are used again. What lives as long as a group is moved to the old heap, where a collection costs the more the more often
 * it is due: there are thousands of these a second.
 */
class Spare<T> {
  readonly #free: T[] = [];

  take(): T | undefined {
    return this.#free.pop();
  }

  give(object: T): void {
    if (this.#free.length < 1 << 14) this.#free.push(object);
  }
}

const noKey: Slice = { bytes: new Uint8Array(0), start: -1, end: -1 };
const extents = new Spare<Extent>();
const spans = new Spare<Span>();

/** An END whose parts' offsets are known only when the group is placed. */
export interface PendingEnd {
  readonly end: Omit<EndRecord, 'parts'>;
  readonly extents: readonly Extent[];
  readonly copied?: CopiedFrom;
}

/** A PROGRESS: what its transaction has by now, of which more may have come when the group is placed. */
interface PendingProgress {
  readonly progress: Omit<ProgressRecord, 'parts'>;
  readonly extents: readonly { readonly extent: Extent; readonly count: number; readonly bytes: number }[];
}

type PendingRecord = PendingEnd | PendingProgress | { readonly start: StartRecord; readonly copied?: CopiedFrom };

/** Of a record that another log had before. */
export interface CopiedFrom {
  readonly timestamp: number;
  /** The offset that it had there. */
  readonly offset: number;
}

/** In each record of our own topics that was copied from another log, as text: where a copy that was cut off goes on. */
export const copiedHeaderName = 'tailrace.copied-from';

/** Where a group's records in `transaction` went; first and last are not `count` apart where somebody else wrote in between. */
export interface Written {
  readonly first: number;
  readonly last: number;
  readonly count: number;
}

/**
 * One group for the log: batches for any partitions, with the ENDs of the transactions that it completes. It becomes
 * durable whole (PROTOCOL, The embedded log: one fdatasync a group).
 */
export class Group {
  readonly #writer: LogWriter;
  readonly #transactionTopic: string;
  /** By topic, then by partition. */
  readonly #batches = new Map<string, BatchBuilder[]>();
  /** For the `transaction` topic, in order. */
  readonly #records: PendingRecord[] = [];
  #lastEnd: Omit<EndRecord, 'parts'> | null = null;
  #renewed: StartRecord | null = null;
  /** Of complete and of unfinished transactions. */
  readonly #spans: Span[] = [];
  #batchBytes = 0;

  constructor(writer: LogWriter, transactionTopic: string) {
    this.#writer = writer;
    this.#transactionTopic = transactionTopic;
  }

  get isEmpty(): boolean {
    return this.#batches.size === 0 && this.#records.length === 0;
  }

  /** Encoded bytes so far, ENDs aside. */
  get bytes(): number {
    return this.#batchBytes;
  }

  get hasTransactionRecords(): boolean {
    return this.#records.length > 0;
  }

  /** The last END in this group: what may be acknowledged once the group is durable. */
  get lastEnd(): Omit<EndRecord, 'parts'> | null {
    return this.#lastEnd;
  }

  /** The START in this group; there is one at most. */
  get renewed(): StartRecord | null {
    return this.#renewed;
  }

  batch(topic: string, partition: number): BatchBuilder {
    let ofTopic = this.#batches.get(topic);
    if (ofTopic === undefined) this.#batches.set(topic, (ofTopic = []));
    return (ofTopic[partition] ??= this.#writer.batch(topic, partition));
  }

  /** Adds a record; `extent` is null for records that are no events (tombstones, schema records). */
  add(batch: BatchBuilder, draft: RecordDraft, extent: Extent | null): void {
    const before = batch.bytes;
    batch.add(draft);
    const bytes = batch.bytes - before;
    this.#batchBytes += bytes;
    if (extent === null) return;
    extent.count++;
    extent.bytes += bytes;
    const index = batch.count - 1;
    if (extent.span?.batch === batch) extent.span.last = index;
    else this.#begin(extent, batch, index);
  }

  #begin(extent: Extent, batch: BatchBuilder, index: number): void {
    const span = spans.take() ?? new Span();
    span.extent = extent;
    span.batch = batch;
    span.first = span.last = index;
    extent.span = span;
    this.#spans.push(span);
  }

  /** The extents are handed over: they stand for another transaction once the END is written. */
  end(pending: PendingEnd): void {
    this.#records.push(pending);
    this.#lastEnd = pending.end;
  }

  progress(progress: PendingProgress['progress'], extents: readonly Extent[]): void {
    this.#records.push({ progress, extents: extents.map((extent) => ({ extent, count: extent.count, bytes: extent.bytes })) });
  }

  start(start: StartRecord, copied?: CopiedFrom): void {
    this.#renewed = start;
    this.#records.push({ start, ...(copied === undefined ? {} : { copied }) });
  }

  /** Hands the group to the log; resolves when it is durable, with where its STARTs and ENDs went. */
  async append(): Promise<Written | null> {
    const batches = [...this.#batches.values()].flat();
    const [placed] = await this.#writer.append(batches, (placements) => {
      const places = new Map(batches.map((batch, i) => [batch, placements[i] as Placement]));
      for (const span of this.#spans) settle(span, places.get(span.batch as BatchBuilder) as Placement);
      return this.#records.length === 0 ? [] : [this.#transactionBatch()];
    });
    return placed === undefined ? null : { first: placed.offsetOf(0), last: placed.offsetOf(this.#records.length - 1), count: this.#records.length };
  }

  #transactionBatch(): BatchBuilder {
    const batch = this.#writer.batch(this.#transactionTopic, 0);
    const timestamp = Date.now();
    for (const record of this.#records) {
      batch.add(draftOf(record, timestamp));
      if ('end' in record) for (const extent of record.extents) extents.give(extent);
    }
    return batch;
  }
}

/** The group is placed: its extents have offsets. A transaction that goes on has another span by now, or gets one. */
function settle(span: Span, place: Placement): void {
  const extent = span.extent as Extent;
  if (extent.first < 0) extent.first = place.offsetOf(span.first);
  extent.last = place.offsetOf(span.last);
  if (extent.span === span) extent.span = null;
  span.extent = span.batch = null;
  spans.give(span);
}

/** With the offsets that its events have now; for the batch alone, which copies it. */
function draftOf(record: PendingRecord, timestamp: number): RecordDraft {
  if (!('progress' in record) && record.copied !== undefined) return copiedDraft(valueOf(record), record.copied);
  const end = 'end' in record ? endBytes(record.end, record.extents) : null;
  return end === null ? controlDraft(valueOf(record), timestamp) : { timestamp, key: noKey, value: end, headers: [] };
}

function valueOf(record: PendingRecord): Uint8Array {
  if ('start' in record) return encodeControl(record.start);
  if ('progress' in record) return encodeControl({ ...record.progress, parts: record.extents.map(({ extent, count, bytes }) => ({ ...extent.part(), count, bytes })) });
  const { end, extents: own } = record;
  return encodeControl({ ...end, parts: own.map((extent) => extent.part()) });
}

/** A record without key or headers, for the topics that hold no events. */
export function controlDraft(value: Uint8Array, timestamp: number): RecordDraft {
  return {
    timestamp,
    key: { bytes: value, start: -1, end: -1 },
    value: { bytes: value, start: 0, end: value.length },
    headers: [],
  };
}

export function copiedDraft(value: Uint8Array, { timestamp, offset }: CopiedFrom): RecordDraft {
  const from = Buffer.from(String(offset));
  return { ...controlDraft(value, timestamp), headers: [{ name: copiedHeaderName, value: { bytes: from, start: 0, end: from.length } }] };
}

/** Appends one record without headers by itself; resolves when it is durable. Appends of one writer take turns. */
export async function appendRecord(writer: LogWriter, topic: string, { key = null, value }: { readonly key?: Uint8Array | null; readonly value: Uint8Array }): Promise<void> {
  const batch = writer.batch(topic, 0);
  const record = controlDraft(value, Date.now());
  batch.add({ ...record, key: key === null ? record.key : { bytes: key, start: 0, end: key.length } });
  await writer.append([batch]);
}
