import { createHash } from 'node:crypto';
import { BATCH_HEADER, batchBaseOffset, batchCount, batchLastDelta, claimedSize, sealBatch, writeInt64, type Stamp } from '../record-batch.ts';

/*
 * A batch's base offset lies outside its CRC and the topic is not in the format at all, so a batch that a disk or a person puts
 * in the wrong place would pass for good. Hence, in a log of ours, producerId is a hash of (log id, topic, partition), 63 bits,
 * and baseSequence the low 31 bits of the base offset: both lie inside the CRC.
 */

export function stampOf(logId: string, topic: string, partition: number): Stamp {
  const hash = createHash('sha256').update(JSON.stringify([logId, topic, partition])).digest();
  return { high: hash.readUInt32BE(0) & 0x7fffffff, low: hash.readUInt32BE(4) };
}

/** Gives the batch its base offset, and its CRC. */
export function placeBatch(bytes: Buffer, length: number, baseOffset: number): void {
  writeInt64(bytes, 0, baseOffset);
  bytes.writeInt32BE(sequenceOf(baseOffset), 53);
  sealBatch(bytes, length);
}

/**
 * What is wrong with the header at `at` of a batch that should begin at `baseOffset`; undefined when nothing is. Needs
 * BATCH_HEADER bytes. The CRC is not looked at.
 */
export function headerProblem(bytes: Buffer, at: number, baseOffset: number, stamp: Stamp): string | undefined {
  if (bytes[at + 16] !== 2) return `the batch's magic byte is ${bytes[at + 16]}, not 2`;
  if (claimedSize(bytes, at) < BATCH_HEADER) return `the batch claims a length of ${bytes.readInt32BE(at + 8)}`;
  const found = batchBaseOffset(bytes, at);
  if (found !== baseOffset) return `the batch begins at offset ${found}, not ${baseOffset}`;
  if (bytes.readUInt32BE(at + 43) !== stamp.high || bytes.readUInt32BE(at + 47) !== stamp.low) {
    return 'the batch carries the mark of another log, topic or partition';
  }
  if (bytes.readInt32BE(at + 53) !== sequenceOf(baseOffset)) return 'the batch was written for another offset';
  if (bytes.readInt32BE(at + 12) !== 0 || bytes.readInt16BE(at + 51) !== 0) return 'the batch has an epoch';
  if (bytes.readInt16BE(at + 21) !== 0) return `the batch has attributes ${bytes.readInt16BE(at + 21)}`;
  // Fewer records than offsets: compaction has removed some, or all of them.
  const count = batchCount(bytes, at);
  const lastDelta = batchLastDelta(bytes, at);
  if (count < 0 || lastDelta < Math.max(count - 1, 0)) return `the batch claims ${count} records for ${lastDelta + 1} offsets`;
  return undefined;
}

function sequenceOf(offset: number): number {
  return offset % 0x80000000;
}
