import type { Compaction, LogWriter, RecordCursor, Rewriting } from '../log/log.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Slice } from '../runtime/slice.ts';
import { headerName } from './record-header.ts';
import type { CompactionStatus } from './status.ts';

/** Topics that keep the newest event of each key for good, in place of being emptied by retention. */
export interface CompactedTopics {
  readonly topics: ReadonlySet<string>;
  /** Milliseconds that a delete stays. */
  readonly deleteRetention: number;
  readonly counts?: CompactionCounts | undefined;
}

/** What compactions do, counted over all topics of a pipeline. */
export class CompactionCounts {
  #status: CompactionStatus = { runs: 0, bytesBefore: 0, bytesAfter: 0, durationMs: 0, lastAt: null };

  get status(): CompactionStatus {
    return this.#status;
  }

  /** Counts what was begun at a time and has ended now, if it has changed anything. */
  ended(begunAt: number, { before, after }: Rewriting): void {
    if (before.bytes === after.bytes) return;
    const { runs, bytesBefore, bytesAfter, durationMs } = this.#status;
    const now = Date.now();
    this.#status = { runs: runs + 1, bytesBefore: bytesBefore + before.bytes, bytesAfter: bytesAfter + after.bytes, durationMs: durationMs + now - begunAt, lastAt: now };
  }
}

/** As Kafka's min.cleanable.dirty.ratio. */
const leastDirty = 0.5;

const header: Slice = { bytes: new Uint8Array(0), start: -1, end: -1 };

/** What an event says of its key. A format without tombstones has a delete as an event like any other, and a truncate has no key. */
export function eventSays(record: RecordCursor): ReturnType<NonNullable<Compaction['says']>> {
  if (!record.header(headerName, header)) return 'value';
  const op = header.bytes[header.start + 1];
  return op === 0x64 ? 'delete' : op === 0x74 ? 'clear' : 'value';
}

/**
 * Compacts the events below `below`, once as much has come as stands there compacted. No END may name what stands there: whoever reads
 * transactions takes an event that is missing for lost.
 */
export async function compactEvents(writer: LogWriter, at: { readonly topic: string; readonly partition: number; readonly below: number }, rules: Omit<CompactedTopics, 'topics'> & { readonly logger: Logger }): Promise<void> {
  const { topic, partition, below } = at;
  const { deleteRetention, counts, logger } = rules;
  const begunAt = Date.now();
  const done = await writer.compact?.(topic, partition, { below, deleteRetention, says: eventSays, leastDirty });
  if (done !== undefined) counts?.ended(begunAt, done);
  if (done !== undefined && done.after.bytes !== done.before.bytes) {
    logger.info({ topic, bytesBefore: done.before.bytes, bytesAfter: done.after.bytes, segmentsBefore: done.before.segments, segmentsAfter: done.after.segments }, 'a topic was compacted');
  }
}

/** Enough of them lie side by side for their merge to be worth what it writes. */
const leastSegments = 8;

/** Makes one of small segments that lie side by side: a log that keeps everything would in time have a file for each topic and day. */
export async function mergeSmallSegments(writer: LogWriter, logger: Logger): Promise<void> {
  for (const { topic, partitions } of writer.topics()) {
    for (let partition = 0; partition < partitions; partition++) {
      const done = await writer.merge?.(topic, partition, leastSegments);
      if (done !== undefined && done.after.segments !== done.before.segments) {
        logger.info({ topic, segmentsBefore: done.before.segments, segmentsAfter: done.after.segments, bytes: done.after.bytes }, 'segments of a topic were merged');
      }
    }
  }
}
