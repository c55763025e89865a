import type { LogReader, LogWriter, TopicSpec } from '../../log/log.ts';
import type { Slice } from '../../runtime/slice.ts';
import { copiedDraft, copiedHeaderName } from '../group.ts';
import { records } from '../log-state.ts';
import { decodeControl, encodeControl } from '../control-json.ts';
import type { ControlRecord } from '../control-records.ts';

const batchBytes = 1 << 20;
const noBytes = new Uint8Array(0);

interface Target {
  readonly reader: LogReader;
  readonly writer: LogWriter;
}

/** The offset that the last record copied had in the other log; -1 when none was. */
export async function lastCopied(reader: LogReader, topic: string, partition = 0): Promise<number> {
  const { start, end } = await reader.range(topic, partition);
  if (end <= start) return -1;
  const cursor = await reader.fetch(topic, partition, end - 1, 1);
  const slice: Slice = { bytes: new Uint8Array(0), start: -1, end: -1 };
  let last = -1;
  while (cursor.next()) if (cursor.header(copiedHeaderName, slice)) last = Number(Buffer.from(slice.bytes.subarray(slice.start, slice.end)).toString());
  return last;
}

/**
 * Copies a topic that holds no events, record by record, behind what was copied before. What points into `transaction` points to its
 * beginning afterwards, which is always right: these are places from where on something is looked for, or still needed.
 */
export async function copyRecords(from: LogReader, to: Target, topic: string): Promise<void> {
  const last = await lastCopied(to.reader, topic);
  let batch = to.writer.batch(topic, 0);
  for await (const cursor of records(from, topic, last + 1)) {
    const { timestamp, offset, key } = cursor;
    batch.add({ ...copiedDraft(withoutOffsets(cursor.value, topic), { timestamp, offset }), key });
    if (batch.bytes < batchBytes) continue;
    await to.writer.append([batch]);
    batch = to.writer.batch(topic, 0);
  }
  if (batch.count > 0) await to.writer.append([batch]);
}

/** Copies a topic that is none of ours, made and written by somebody else, with the partitions and the headers that it has. */
export async function copyForeign(from: LogReader, to: Target, { topic, partitions }: TopicSpec): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) {
    const { start, end } = await from.range(topic, partition);
    for (let offset = Math.max(start, (await lastCopied(to.reader, topic, partition)) + 1); offset < end; ) {
      const cursor = await from.fetch(topic, partition, offset, batchBytes);
      const batch = to.writer.batch(topic, partition);
      while (cursor.next()) {
        const { key, value, timestamp } = cursor;
        batch.add({ timestamp, key, value, headers: [...cursor.headers().map(([name, value]) => ({ name, value })), ...copiedDraft(noBytes, cursor).headers] });
      }
      if (batch.count > 0) await to.writer.append([batch]);
      if (cursor.nextOffset <= offset) break;
      offset = cursor.nextOffset;
    }
  }
}

function withoutOffsets(value: Slice, topic: string): Uint8Array {
  const bytes = value.bytes.subarray(value.start, value.end);
  // Dead letters and rows of jobs are JSON too, without a type of ours.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 40)).toString();
  if (!/^\{"type":"(snapshot|register|position)"/.test(text)) return bytes;
  const record = decodeControl<ControlRecord>(value, topic);
  switch (record.type) {
    case 'snapshot': return encodeControl({ ...record, from: 0 });
    case 'register': case 'position': return encodeControl({ ...record, offset: 0 });
    default: return bytes;
  }
}
