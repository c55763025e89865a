import { createHash } from 'node:crypto';
import { crc32c } from '@node-rs/crc32';

/**
 * Kafka's record batch, magic 2 (https://kafka.apache.org/documentation/#recordbatch), uncompressed. Integers are
 * big-endian, records hold zigzag varints:
 *
 *     0 baseOffset i64 · 8 length i32, of what follows · 12 partitionLeaderEpoch i32 · 16 magic i8 · 17 crc u32 of what follows
 *     21 attributes i16 · 23 lastOffsetDelta i32 · 27 baseTimestamp i64 · 35 maxTimestamp i64 · 43 producerId i64
 *     51 producerEpoch i16 · 53 baseSequence i32 · 57 count i32 · 61 records
 *
 * The base offset lies outside the CRC and the topic is not in the format at all, so a batch that a disk or a person puts in
 * the wrong place would pass for good. Hence producerId is a hash of (log id, topic, partition) and baseSequence the low
 * 31 bits of the base offset: both lie inside the CRC.
 */
export const BATCH_HEADER = 61;
/** The least of the header that says how long the batch is. */
export const LENGTH_HEADER = 12;
/** A batch is closed before it grows larger than this; only a single larger record makes a larger batch. */
export const MAX_BATCH = 1024 * 1024;

const CRC_AT = 17;
const CRC_FROM = 21;

/** A partition's producer id: 63 bits, as two halves. */
export interface Stamp {
  readonly high: number;
  readonly low: number;
}

export function stampOf(logId: string, topic: string, partition: number): Stamp {
  const hash = createHash('sha256').update(JSON.stringify([logId, topic, partition])).digest();
  return { high: hash.readUInt32BE(0) & 0x7fffffff, low: hash.readUInt32BE(4) };
}

export interface BatchHeader {
  readonly count: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  readonly stamp: Stamp;
}

/** Fills in all of the header of `bytes[0, length)` but what depends on the place: see `placeBatch`. */
export function writeBatchHeader(bytes: Buffer, length: number, header: BatchHeader): void {
  bytes.writeInt32BE(length - LENGTH_HEADER, 8);
  bytes.writeInt32BE(0, 12);
  bytes[16] = 2;
  bytes.writeInt16BE(0, 21);
  bytes.writeInt32BE(header.count - 1, 23);
  writeInt64(bytes, 27, header.baseTimestamp);
  writeInt64(bytes, 35, header.maxTimestamp);
  bytes.writeUInt32BE(header.stamp.high, 43);
  bytes.writeUInt32BE(header.stamp.low, 47);
  bytes.writeInt16BE(0, 51);
  bytes.writeInt32BE(header.count, 57);
}

/** Gives the batch its base offset, and its CRC. */
export function placeBatch(bytes: Buffer, length: number, baseOffset: number): void {
  writeInt64(bytes, 0, baseOffset);
  bytes.writeInt32BE(sequenceOf(baseOffset), 53);
  bytes.writeUInt32BE(crc32c(bytes.subarray(CRC_FROM, length)), CRC_AT);
}

/** Size of the batch at `at` as its header claims it, before anything was checked. Needs LENGTH_HEADER bytes. */
export function claimedSize(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at + 8) + LENGTH_HEADER;
}

export function batchBaseOffset(bytes: Buffer, at: number): number {
  return readInt64(bytes, at);
}

export function batchNextOffset(bytes: Buffer, at: number): number {
  return readInt64(bytes, at) + bytes.readInt32BE(at + 23) + 1;
}

export function batchBaseTimestamp(bytes: Buffer, at: number): number {
  return readInt64(bytes, at + 27);
}

export function batchMaxTimestamp(bytes: Buffer, at: number): number {
  return readInt64(bytes, at + 35);
}

export function batchCount(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at + 57);
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
  const count = batchCount(bytes, at);
  if (count < 1 || bytes.readInt32BE(at + 23) !== count - 1) return `the batch claims ${count} records`;
  return undefined;
}

export function crcMatches(bytes: Buffer, at: number, size: number): boolean {
  return bytes.readUInt32BE(at + CRC_AT) === crc32c(bytes.subarray(at + CRC_FROM, at + size));
}

function sequenceOf(offset: number): number {
  return offset % 0x80000000;
}

export function writeInt64(bytes: Buffer, at: number, value: number): void {
  const high = Math.floor(value / 0x100000000);
  bytes.writeInt32BE(high, at);
  bytes.writeUInt32BE(value - high * 0x100000000, at + 4);
}

export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 0x100000000 + bytes.readUInt32BE(at + 4);
}
