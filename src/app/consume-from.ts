import { parseLsn, type Lsn } from '../event/lsn.ts';
import type { LogReader, RecordCursor } from '../log/log.ts';
import { lastMark } from '../pipeline/merge/mark.ts';
import { headerName, HeaderReader } from '../pipeline/record-header.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Slice } from '../runtime/slice.ts';
import { kindOf } from './topic-kind.ts';

/** Where a consumer begins; a group where it has committed, and before that at one of the topic's ends. Times in milliseconds since 1970. */
export type ConsumeFrom =
  | { readonly at: 'beginning' | 'end' }
  | { readonly offset: number }
  | { readonly time: number }
  | { readonly lsn: Lsn }
  | { readonly group: string; readonly otherwise: 'beginning' | 'end' };

export interface Beginning {
  readonly offset: number;
  /** False for records in front of what was asked for. */
  passes(cursor: RecordCursor): boolean;
}

export async function beginningOf(
  reader: LogReader,
  of: { readonly pipeline: string; readonly topic: string; readonly partition: number; readonly committed: number | undefined },
  from: ConsumeFrom,
): Promise<Beginning> {
  const { topic, partition } = of;
  const { start, end } = await reader.range(topic, partition);
  const plain = (offset: number): Beginning => ({ offset, passes: () => true });
  if ('offset' in from && from.offset >= start && from.offset <= end) return plain(from.offset);
  if ('offset' in from) {
    throw new TailraceError('offset-out-of-range', `partition ${partition} of ${topic} holds offsets ${start} to ${end}, not ${from.offset}`, { remedy: 'Give one of those, or --offset earliest or latest; --partition chooses one of several.' });
  }
  if ('time' in from) return plain(await reader.offsetAt(topic, partition, from.time));
  if ('lsn' in from) {
    await refuseWithoutLsn(reader, of.pipeline, topic);
    return { offset: start, passes: sinceLsn(from.lsn) };
  }
  const ends = { beginning: start, end };
  if ('at' in from) return plain(ends[from.at]);
  const { committed } = of;
  if (committed === undefined) return plain(ends[from.otherwise]);
  if (committed >= start && committed <= end) return plain(committed);
  throw new TailraceError('offset-out-of-range', `the group ${from.group} stands at offset ${committed} of partition ${partition} of ${topic}, which holds ${start} to ${end}${committed < start ? `: ${start - committed} records are gone that it has not had` : ': the topic was made anew'}`, {
    remedy: `To go on with what is held: tailrace groups reset-offsets ${from.group} --topic ${topic} --to-earliest --execute`,
  });
}

async function refuseWithoutLsn(reader: LogReader, pipeline: string, topic: string): Promise<void> {
  const kind = kindOf(pipeline, topic);
  if (kind === 'events' || kind === 'message') return;
  const sources = kind === 'produced' ? (await lastMark(reader, topic))?.sources.filter((source) => 'behind' in source) : [];
  if (sources?.length === 1) return;
  const what = (sources?.length ?? 0) > 1 ? `${topic} is merged from several logs, whose LSNs mean nothing to each other` : `the records of ${topic} have no LSN`;
  throw new TailraceError('usage', what, { remedy: 'Use --from-time or --offset.' });
}

/** Commit LSNs ascend in a partition but for a source that was put back in time: from the first that is reached on, everything passes. */
function sinceLsn(lsn: Lsn): (cursor: RecordCursor) => boolean {
  const header = new HeaderReader();
  const slice: Slice = { bytes: new Uint8Array(0), start: -1, end: -1 };
  let reached = false;
  return (cursor) => (reached ||= cursor.header(headerName, slice) && header.reset(slice).commitLsn >= lsn);
}

/** `16/B374D848`; null for anything else. */
export function lsnOf(text: string): Lsn | null {
  return parseLsn(text) ?? null;
}
