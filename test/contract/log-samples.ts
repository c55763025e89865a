import type { BatchBuilder, LogReader, LogWriter, RecordDraft } from '../../src/log/log.ts';
import type { Slice } from '../../src/runtime/slice.ts';

/** Clean-up of a test, last first: a log is closed before its folder goes. */
export function lastFirst(t: { after(fn: () => unknown): void }): { after(fn: () => unknown): void } {
  const undo: (() => unknown)[] = [];
  t.after(async () => {
    for (const fn of undo.toReversed()) await fn();
  });
  return { after: (fn) => void undo.push(fn) };
}

/** A record as a test writes it down and reads it back; null is null, and texts are latin1 so that any byte can stand in one. */
export interface PlainRecord {
  readonly timestamp: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ReadRecord extends PlainRecord {
  readonly offset: number;
}

export function sliceOf(text: string | null): Slice {
  if (text === null) return { bytes: new Uint8Array(0), start: -1, end: -1 };
  // Not at the start of its memory, which must make no difference.
  const bytes = Buffer.concat([Buffer.from('<<<'), Buffer.from(text, 'latin1'), Buffer.from('>>')]);
  return { bytes, start: 3, end: bytes.length - 2 };
}

export function textOf(slice: Slice): string | null {
  return slice.start < 0 ? null : Buffer.from(slice.bytes.subarray(slice.start, slice.end)).toString('latin1');
}

export function draftOf(record: PlainRecord): RecordDraft {
  return {
    timestamp: record.timestamp,
    key: sliceOf(record.key),
    value: sliceOf(record.value),
    headers: Object.entries(record.headers ?? {}).map(([name, value]) => ({ name, value: sliceOf(value) })),
  };
}

/** A record with little in it: `text` is its value. */
export function record(text: string, timestamp = 1000): PlainRecord {
  return { timestamp, key: null, value: text };
}

/** A batch of records on its way to one partition. */
export function batchOf(writer: LogWriter, [topic, partition]: readonly [string, number], records: readonly PlainRecord[]): BatchBuilder {
  const batch = writer.batch(topic, partition);
  for (const plain of records) batch.add(draftOf(plain));
  return batch;
}

/** Everything from `from` to the end, as fetches of `maxBytes` bring it. `names`: the headers to read. */
export async function readAll(
  reader: LogReader,
  [topic, partition]: readonly [string, number],
  { from, maxBytes = 1024 * 1024, names = [] }: { from?: number; maxBytes?: number; names?: readonly string[] } = {},
): Promise<ReadRecord[]> {
  const records: ReadRecord[] = [];
  for (let offset = from ?? (await reader.range(topic, partition)).start; ; ) {
    const cursor = await reader.fetch(topic, partition, offset, maxBytes);
    if (cursor.nextOffset === offset) return records;
    const header: Slice = { bytes: new Uint8Array(0), start: -1, end: -1 };
    while (cursor.next()) {
      const headers: Record<string, string> = {};
      for (const name of names) if (cursor.header(name, header)) headers[name] = textOf(header) ?? '';
      const plain = { offset: cursor.offset, timestamp: cursor.timestamp, key: textOf(cursor.key), value: textOf(cursor.value) };
      records.push(names.length === 0 ? plain : { ...plain, headers });
    }
    offset = cursor.nextOffset;
  }
}

export async function valuesOf(reader: LogReader, place: readonly [string, number], maxBytes?: number): Promise<(string | null)[]> {
  return (await readAll(reader, place, maxBytes === undefined ? {} : { maxBytes })).map(({ value }) => value);
}
