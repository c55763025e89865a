import type { LogReader, RecordCursor } from '../log/log.ts';
import { TailraceError } from '../runtime/errors.ts';
import { decodeControl } from './control-json.ts';
import type { EndRecord, LookRecord, PartitionRecord, Place, RereadRecord, SchemaTopicRecord, SnapshotRecord, StartRecord, TransactionRecord, VersionRecord } from './control-records.ts';
import { CopyOrders } from './copy-orders.ts';
import { StartRule } from './start-rule.ts';
import type { TopicNames } from './topics.ts';

const fetchBytes = 1 << 20;

/**
 * Walks all records of a topic's only partition, from `from` to the end as it is now. What is let go of meanwhile is passed
 * over: of our own topics only what nobody needs any more goes.
 */
export async function* records(reader: LogReader, topic: string, from?: number): AsyncGenerator<RecordCursor> {
  const range = await reader.range(topic, 0);
  let offset = Math.max(from ?? range.start, range.start);
  while (offset < range.end) {
    const cursor = await fetchHeld(reader, topic, offset);
    if (typeof cursor === 'number') {
      offset = cursor;
      continue;
    }
    while (cursor.next()) if (cursor.offset >= offset) yield cursor;
    if (cursor.nextOffset <= offset) return;
    offset = cursor.nextOffset;
  }
}

/** What is there at the offset, or the first offset that is still held. */
async function fetchHeld(reader: LogReader, topic: string, offset: number): Promise<RecordCursor | number> {
  try {
    return await reader.fetch(topic, 0, offset, fetchBytes);
  } catch (error) {
    const { start } = await reader.range(topic, 0);
    if (error instanceof TailraceError && error.code === 'offset-out-of-range' && start > offset) return start;
    throw error;
  }
}

/** The publisher's own position: what the `transaction` topic says (PROTOCOL, START and END). */
export interface LogProgress {
  readonly start: StartRecord | null;
  /** The last END that counts, with or without events. */
  readonly end: EndRecord | null;
  /** Offset behind the last record read. */
  readonly nextOffset: number;
}

/**
 * Finds the last START and the last END that counts. A topic can hold millions of ENDs: only STARTs and the one last END
 * are parsed, the rest is told by its first bytes (`type` and `startId` are written first).
 */
export class ProgressReader {
  readonly #reader: LogReader;
  readonly #topic: string;
  readonly #rule = new StartRule();
  #end: EndRecord | null = null;
  #last: Uint8Array | null = null;
  /** In front of the oldest START that is still held, retention may have left ENDs of a START that is gone: they counted. */
  #prefix: Uint8Array = Buffer.from('{"type":"end"');
  #nextOffset: number | null = null;

  constructor(reader: LogReader, topics: TopicNames) {
    this.#reader = reader;
    this.#topic = topics.transaction;
  }

  /** Reads on, to the end as it is now or up to and including an offset. */
  async read(through = Number.MAX_SAFE_INTEGER): Promise<LogProgress> {
    this.#nextOffset ??= (await this.#reader.range(this.#topic, 0)).start;
    for await (const cursor of records(this.#reader, this.#topic, this.#nextOffset)) {
      if (cursor.offset > through) break;
      this.#nextOffset = cursor.offset + 1;
      this.#take(cursor);
    }
    this.#settle();
    return { start: this.#rule.current, end: this.#end, nextOffset: this.#nextOffset };
  }

  #take(cursor: RecordCursor): void {
    const { bytes, start, end } = cursor.value;
    if (startsWith(bytes, start, end, this.#prefix)) {
      this.#last = bytes.subarray(start, end);
      return;
    }
    if (!startsWith(bytes, start, end, startPrefix)) return;
    this.#settle();
    const record = decodeControl<TransactionRecord>(cursor.value, `${this.#topic} at offset ${cursor.offset}`);
    if (record.type === 'start' && this.#rule.accept(record) === 'start') this.#prefix = endPrefix(record.startId);
  }

  #settle(): void {
    const last = this.#last;
    if (last !== null) this.#end = decodeControl<EndRecord>({ bytes: last, start: 0, end: last.length }, this.#topic);
    this.#last = null;
  }
}

export function readProgress(reader: LogReader, topics: TopicNames): Promise<LogProgress> {
  return new ProgressReader(reader, topics).read();
}

const startPrefix = Buffer.from('{"type":"start"');

function endPrefix(startId: string): Uint8Array {
  return Buffer.from(`{"type":"end","startId":"${startId}"`);
}

function startsWith(bytes: Uint8Array, start: number, end: number, prefix: Uint8Array): boolean {
  if (end - start < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (bytes[start + i] !== prefix[i]) return false;
  return true;
}

/** What the `schema` topic says, with each copy's record that counts. */
export interface SchemaState {
  /** Every version, look and partition, in order of writing. */
  readonly versions: readonly (VersionRecord | LookRecord | PartitionRecord)[];
  /** The newest record of each copy that counts: confirmed, or named by an END. By `copyKey`. */
  readonly copies: ReadonlyMap<string, SnapshotRecord>;
  readonly orders: CopyOrders;
}

/** Of all that a log without a START still knows: what comes is of a higher one. */
export function highestEpoch({ versions, copies }: SchemaState): number {
  return Math.max(0, ...versions.map((record) => (record.type === 'partition' ? 0 : record.version.epoch)), ...[...copies.values()].map(({ place }) => place.epoch));
}

/** No table has this oid: a copy that names it is of none. */
export const noRelation = 0;

/** One copy a table and addressee; beside it those of some rows, each for itself by the id of its order. */
export function copyKey(table: string, sink: string | null, order: string | null = null): string {
  return JSON.stringify(order === null ? [table, sink] : [table, sink, order]);
}

export function copyKeyOf(record: Pick<SnapshotRecord, 'table' | 'sink' | 'where' | 'ask'>): string {
  return copyKey(record.table, record.sink, record.where === null ? null : record.ask);
}

/** `until`: only copies' records of places for which it is true, as if the topic had ended there. */
export async function readSchemaState(reader: LogReader, topics: TopicNames, until?: (place: Place) => boolean): Promise<SchemaState> {
  const versions: (VersionRecord | LookRecord | PartitionRecord)[] = [];
  const copies = new Map<string, SnapshotRecord>();
  const unconfirmed = new Map<string, SnapshotRecord>();
  /** Where the records stand, by id: the order in which the ENDs that confirm them were to come. */
  const order = new Map<string, number>();
  const orders = new CopyOrders();
  const rereads: { readonly record: RereadRecord; readonly offset: number }[] = [];
  for await (const cursor of records(reader, topics.schema)) {
    const record = decodeControl<SchemaTopicRecord>(cursor.value, `${topics.schema} at offset ${cursor.offset}`);
    if (record.type === 'version' || record.type === 'look' || record.type === 'partition') {
      versions.push(record);
      continue;
    }
    if (record.type === 'copy-order') {
      orders.take(record);
      continue;
    }
    if (record.type === 'reread') {
      rereads.push({ record, offset: cursor.offset });
      continue;
    }
    if (until?.(record.place) === false) continue;
    if (!order.has(record.id)) order.set(record.id, cursor.offset);
    if (record.confirmed) {
      copies.set(copyKeyOf(record), record);
      unconfirmed.delete(record.id);
    } else {
      unconfirmed.set(record.id, record);
    }
  }
  for (const record of unconfirmed.size === 0 ? [] : await namedByEnds(reader, topics, unconfirmed)) {
    const known = copies.get(copyKeyOf(record));
    // One that a crash kept from being confirmed must not come back over what the copy has done since.
    if (known === undefined || (order.get(record.id) ?? 0) > (order.get(known.id) ?? 0)) copies.set(copyKeyOf(record), record);
  }
  for (const [key, copy] of copies) {
    // Those that came before the record stand in it, unless they were read again since.
    const since = rereads.filter(({ record, offset }) => record.copy === copy.copy && offset > (order.get(copy.id) ?? 0));
    if (since.length > 0) copies.set(key, { ...copy, rereads: [...copy.rereads, ...since.flatMap(({ record }) => record.keys)], last: false });
  }
  for (const [key, copy] of copies) {
    if (copy.where === null || !copy.last) continue;
    copies.delete(key);
    orders.finished(copy.ask ?? '');
  }
  return { versions, copies, orders };
}

/** A crash between an END and the confirmation of its record: the END itself says that the record counts. */
async function namedByEnds(reader: LogReader, topics: TopicNames, unconfirmed: ReadonlyMap<string, SnapshotRecord>): Promise<readonly SnapshotRecord[]> {
  const named: SnapshotRecord[] = [];
  const from = Math.min(...[...unconfirmed.values()].map((record) => record.from));
  const rule = new StartRule();
  for await (const cursor of records(reader, topics.transaction)) {
    // STARTs from the beginning, because they decide which ENDs count; ENDs only where one can name a record of ours.
    if (cursor.offset < from && !startsWith(cursor.value.bytes, cursor.value.start, cursor.value.end, startPrefix)) continue;
    const end = decodeControl<TransactionRecord>(cursor.value, `${topics.transaction} at offset ${cursor.offset}`);
    if (rule.accept(end) !== 'end' || end.type !== 'end' || end.snapshot === null) continue;
    const record = unconfirmed.get(end.snapshot.record);
    if (record !== undefined) named.push(record);
  }
  return named;
}
