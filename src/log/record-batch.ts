import { crc32c } from '@node-rs/crc32';

/**
 * Kafka's record batch, magic 2 (https://kafka.apache.org/documentation/#recordbatch). Integers are
 * big-endian, records hold zigzag varints:
 *
 *     0 baseOffset i64 · 8 length i32, of what follows · 12 partitionLeaderEpoch i32 · 16 magic i8 · 17 crc u32 of what follows
 *     21 attributes i16 · 23 lastOffsetDelta i32 · 27 baseTimestamp i64 · 35 maxTimestamp i64 · 43 producerId i64
 *     51 producerEpoch i16 · 53 baseSequence i32 · 57 count i32 · 61 records
 */
export const BATCH_HEADER = 61;
/** The least of the header that says how long the batch is. */
export const LENGTH_HEADER = 12;
/** Where nothing else is said, a batch is closed before it grows larger than this; only a single larger record makes a larger batch. */
export const MAX_BATCH = 1024 * 1024;

const CRC_AT = 17;
const CRC_FROM = 21;

/** The producer id, as two halves. */
export interface Stamp {
  readonly high: number;
  readonly low: number;
}

export interface BatchHeader {
  readonly count: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  readonly stamp: Stamp;
}

/** Fills in all of the header of `bytes[0, length)` but the base offset, the sequence and the CRC, which depend on where it goes. */
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

/** Size of the batch at `at` as its header claims it, before anything was checked. Needs LENGTH_HEADER bytes. */
export function claimedSize(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at + 8) + LENGTH_HEADER;
}

export function batchBaseOffset(bytes: Buffer, at: number): number {
  return readInt64(bytes, at);
}

export function batchNextOffset(bytes: Buffer, at: number): number {
  return readInt64(bytes, at) + batchLastDelta(bytes, at) + 1;
}

/** Of its last offset to its first. Where compaction has removed records it is more than their count says. */
export function batchLastDelta(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at + 23);
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

/** Over what is in the header by now, and the records. */
export function sealBatch(bytes: Buffer, length: number): void {
  bytes.writeUInt32BE(crc32c(bytes.subarray(CRC_FROM, length)), CRC_AT);
}

export function crcMatches(bytes: Buffer, at: number, size: number): boolean {
  return bytes.readUInt32BE(at + CRC_AT) === crc32c(bytes.subarray(at + CRC_FROM, at + size));
}

export function writeInt64(bytes: Buffer, at: number, value: number): void {
  const high = Math.floor(value / 0x100000000);
  bytes.writeInt32BE(high, at);
  bytes.writeUInt32BE(value - high * 0x100000000, at + 4);
}

export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 0x100000000 + bytes.readUInt32BE(at + 4);
}
