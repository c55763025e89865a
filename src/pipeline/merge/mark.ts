import { formatLsn, lsn, type Lsn } from '../../event/lsn.ts';
import type { Position } from '../../event/position.ts';
import type { LogReader } from '../../log/log.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Slice } from '../../runtime/slice.ts';
import type { Place } from '../control-records.ts';

/** Headers of a merged record, beside those that it had. The topic that it came from, as text. */
export const topicHeaderName = 'tailrace.topic';
/** The id of the log that it came from, as text, where that is not the log that it is in now. */
export const logHeaderName = 'tailrace.log';
/** Which shape its table had (shapes.ts), where this log's `schema` does not say it. */
export const shapeHeaderName = 'tailrace.shape';
/** Up to where each source is merged with this record: JSON, in the last record of each append. Where the next one goes on. */
export const markHeaderName = 'tailrace.merge';

/** What is merged of one log: topics of one writer of transactions, or one topic that people produce to. */
export interface SourceName {
  readonly log: string;
  /** `shop`, or `shop.stream.sales`; of a topic that people produce to the topic itself. */
  readonly writer: string;
  /** Topics, or patterns of such, in order. */
  readonly topics: readonly string[];
}

/** How far a source of transactions is merged. */
export interface TransactionsMark extends SourceName {
  /** The last transaction that is merged whole, or that has nothing for the merge. Null: none. */
  readonly behind: Position | null;
  /** The one behind it of which only so many events are merged. */
  readonly open: (Place & { readonly events: number }) | null;
}

/** How far a topic that people produce to is merged: the next offset of each partition. */
export interface RecordsMark extends SourceName {
  readonly offsets: readonly number[];
}

export type SourceMark = TransactionsMark | RecordsMark;

export interface MergeMark {
  /** The codec of the events; null while there are none. */
  readonly codec: number | null;
  readonly sources: readonly SourceMark[];
}

export function encodeMark(mark: MergeMark): Uint8Array {
  return Buffer.from(JSON.stringify(mark, (_, value: unknown) => (typeof value === 'bigint' ? formatLsn(value) : value)));
}

/** `where`: for the error. */
function decodeMark({ bytes, start, end }: Slice, where: string): MergeMark {
  try {
    // LSNs are all of the bigints in it.
    return JSON.parse(Buffer.from(bytes.subarray(start, end)).toString(), (field, value: unknown) => (field === 'commitLsn' ? lsnOf(value) : value)) as MergeMark;
  } catch (cause) {
    throw new TailraceError('log-damaged', `${where} says in no way that is understood up to where it is merged`, { cause });
  }
}

/** Whether the last record of a topic was put there by a merge. */
export async function isMerged(reader: LogReader, topic: string): Promise<boolean> {
  return (await headerOfLast(reader, topic, topicHeaderName)) !== null;
}

/** What the last record of a topic says; null where it was put there by no merge, or there is none. */
export async function lastMark(reader: LogReader, topic: string): Promise<MergeMark | null> {
  const found = await headerOfLast(reader, topic, markHeaderName);
  return found && decodeMark(found, topic);
}

async function headerOfLast(reader: LogReader, topic: string, name: string): Promise<Slice | null> {
  const { start, end } = await reader.range(topic, 0);
  if (end <= start) return null;
  const cursor = await reader.fetch(topic, 0, end - 1, 1);
  const slice: Slice = { bytes: new Uint8Array(0), start: -1, end: -1 };
  let found = false;
  while (cursor.next()) found = cursor.header(name, slice);
  return found ? slice : null;
}

export function sameSource(a: SourceName, b: SourceName): boolean {
  return a.log === b.log && a.writer === b.writer && a.topics.join('\n') === b.topics.join('\n');
}

function lsnOf(value: unknown): Lsn {
  if (typeof value !== 'string') throw new Error('no LSN');
  return lsn(value);
}
