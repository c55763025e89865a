import { closeSync, openSync } from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import { TailraceError } from '../../runtime/errors.ts';
import { BATCH_HEADER, batchNextOffset, claimedSize, crcMatches, type Stamp } from '../record-batch.ts';
import { BatchCursor } from '../record-cursor.ts';
import { damaged } from './fs-errors.ts';
import { segmentPath } from './layout.ts';
import { readAt } from './segment-tail.ts';
import { headerProblem } from './stamp.ts';

/** A segment that is not written to any more. */
export interface ClosedSegment {
  readonly base: number;
  /** Base of the next one. */
  readonly end: number;
  readonly size: number;
}

export interface ScannedBatch {
  readonly bytes: Buffer;
  readonly at: number;
  readonly size: number;
  readonly next: number;
}

/** Whoever shares the thread is kept waiting for so many bytes at a time. */
const stretch = 128 * 1024;
const chunk = 1024 * 1024;

/**
 * The batches of a closed segment, one after the other, checked. Between them other work of
 * the thread gets its turn. Throws `log-damaged`.
 */
export async function* scanSegment(directory: string, segment: ClosedSegment, stamp: Stamp, signal: AbortSignal): AsyncGenerator<ScannedBatch> {
  const path = segmentPath(directory, segment.base);
  const fd = openSync(path, 'r');
  try {
    let bytes: Buffer = Buffer.alloc(0);
    let [from, next, rested] = [0, segment.base, 0];
    for (let position = 0; position < segment.size; ) {
      let at = position - from;
      const wanted = at + BATCH_HEADER > bytes.length ? BATCH_HEADER : claimedSize(bytes, at);
      if (at + wanted > bytes.length) {
        bytes = readAt(fd, position, Math.min(Math.max(wanted, chunk), segment.size - position));
        [from, at] = [position, 0];
      }
      const problem = bytes.length < BATCH_HEADER ? 'the file ends within a batch' : headerProblem(bytes, at, next, stamp);
      if (problem !== undefined) throw damaged(path, position, problem);
      const size = claimedSize(bytes, at);
      if (position + size > segment.size) throw damaged(path, position, 'the segment ends within a batch');
      // Only its header was in what was read: once more from here on.
      if (at + size > bytes.length) continue;
      if (!crcMatches(bytes, at, size)) throw damaged(path, position, 'the checksum of the batch does not fit');
      next = batchNextOffset(bytes, at);
      yield { bytes, at, size, next };
      position += size;
      if (position - rested < stretch) continue;
      rested = position;
      await breathe();
      if (signal.aborted) throw new TailraceError('internal', 'the log was closed meanwhile');
    }
    if (next !== segment.end) throw damaged(path, segment.size, `the records from offset ${next} on are missing`);
  } finally {
    closeSync(fd);
  }
}

/** The records of one scanned batch. */
export function recordsOf({ bytes, at, size, next }: ScannedBatch): BatchCursor {
  return new BatchCursor(bytes.subarray(at, at + size), size, { from: 0, next });
}
