import type { TableShape } from '../../src/event/table.ts';
import { tupleTexts } from '../../src/event/tuple.ts';
import type { LogReader } from '../../src/log/log.ts';
import { decodeControl } from '../../src/pipeline/control-json.ts';
import type { ControlRecord, EndRecord, SchemaTopicRecord, SinkRecord, StartRecord, TransactionRecord } from '../../src/pipeline/control-records.ts';

/** What stands in a log, read record by record and believing nothing that the pipeline's own readers believe. */

export interface EventView {
  readonly offset: number;
  readonly op: string;
  readonly startId: string;
  readonly epoch: number;
  readonly commitLsn: bigint;
  readonly ordinal: number;
  readonly half: 'whole' | 'old' | 'new';
  readonly version: string;
  /** Old image and new image as texts; what is absent is undefined. */
  readonly texts: readonly (readonly (string | null | undefined)[])[];
}

async function walk<T>(reader: LogReader, topic: string, take: (record: { offset: number; key: Buffer; value: Buffer; header: Buffer | null }) => T): Promise<T[]> {
  const range = await reader.range(topic, 0);
  const found: T[] = [];
  for (let offset = range.start; offset < range.end; ) {
    const cursor = await reader.fetch(topic, 0, offset, 1 << 20);
    while (cursor.next()) {
      if (cursor.offset < offset) continue;
      const slice = { bytes: new Uint8Array(0), start: 0, end: 0 };
      const header = cursor.header('tailrace', slice) ? Buffer.from(slice.bytes.subarray(slice.start, slice.end)) : null;
      found.push(take({ offset: cursor.offset, header, key: bytesOf(cursor.key), value: bytesOf(cursor.value) }));
    }
    offset = cursor.nextOffset;
  }
  return found;
}

function bytesOf({ bytes, start, end }: { readonly bytes: Uint8Array; readonly start: number; readonly end: number }): Buffer {
  return Buffer.from(bytes.subarray(Math.max(0, start), Math.max(0, end)));
}

export async function control<T extends ControlRecord>(reader: LogReader, topic: string): Promise<(T & { readonly at: number })[]> {
  return walk(reader, topic, ({ offset, value }) => ({ ...decodeControl<T>({ bytes: value, start: 0, end: value.length }, topic), at: offset }));
}

export function transactions(reader: LogReader): Promise<(TransactionRecord & { readonly at: number })[]> {
  return control<TransactionRecord>(reader, 'shop.transaction');
}

export async function starts(reader: LogReader): Promise<(StartRecord & { readonly at: number })[]> {
  return (await transactions(reader)).filter((record) => record.type === 'start');
}

export async function ends(reader: LogReader): Promise<(EndRecord & { readonly at: number })[]> {
  return (await transactions(reader)).filter((record) => record.type === 'end');
}

export function schemaRecords(reader: LogReader): Promise<(SchemaTopicRecord & { readonly at: number })[]> {
  return control<SchemaTopicRecord>(reader, 'shop.schema');
}

export function sinkRecords(reader: LogReader, sink: string): Promise<(SinkRecord & { readonly at: number })[]> {
  return control<SinkRecord>(reader, `shop.sink.${sink}`);
}

export async function deadLetters(reader: LogReader, sink: string): Promise<Record<string, unknown>[]> {
  return walk(reader, `shop.dead-letter.${sink}`, ({ value, key }) => ({ key: key.toString(), ...(JSON.parse(value.toString()) as Record<string, unknown>) }));
}

/** Every event of a table's topic, named by an END or not. The table's rows are in tuple format. */
export async function events(reader: LogReader, table: TableShape): Promise<EventView[]> {
  const topic = `shop.public.${table.name}`;
  if (!(await reader.topics()).some((spec) => spec.topic === topic)) return [];
  const all = await walk(reader, topic, ({ offset, header, value }) => (header === null ? null : eventOf(offset, header, value)));
  return all.filter((event) => event !== null);
}

function eventOf(offset: number, header: Buffer, value: Buffer): EventView {
  const flags = header[3] as number;
  const op = String.fromCharCode(header[1] as number);
  return {
    offset, op,
    startId: header.toString('hex', 4, 12),
    epoch: header.readUInt32BE(12),
    commitLsn: header.readBigUInt64BE(16),
    ordinal: Number(header.readBigUInt64BE(24)),
    half: (flags & 2) !== 0 ? 'old' : (flags & 4) !== 0 ? 'new' : 'whole',
    version: `${header.readUInt32BE(32)}.${header.readUInt32BE(36)}`,
    texts: op === 't' ? [] : images(value),
  };
}

function images(value: Buffer): (readonly (string | null | undefined)[])[] {
  const letter = value[0];
  if (letter !== 0x4b && letter !== 0x4f) return [tupleTexts(value, 0)];
  const old = tupleTexts(value, 1);
  const behind = 1 + lengthOf(value, 1);
  return behind < value.length ? [old, tupleTexts(value, behind + 1)] : [old];
}

function lengthOf(bytes: Buffer, at: number): number {
  let end = at + 2;
  for (let left = bytes.readUInt16BE(at); left > 0; left--) end += bytes[end] === 0x74 ? 5 + bytes.readUInt32BE(end + 1) : 1;
  return end - at;
}
