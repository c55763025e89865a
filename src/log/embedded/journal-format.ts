import { readSync } from 'node:fs';
import { crc32c } from '@node-rs/crc32';
import { TailraceError } from '../../runtime/errors.ts';
import { readInt64, writeInt64 } from '../record-batch.ts';

/**
 * The journal is a sequence of files, each a sequence of frames:
 *
 *     0 magic u32 · 4 version u8 · 5 kind u8 · 6 zero u16 · 8 sequence i64 · 16 payload length u32 · 20 CRC of the payload
 *     24 CRC of bytes 0 to 24 · 28 payload
 *
 * All integers are big-endian; both CRCs are CRC-32C begun with the log's id, so that a frame of another log is none here.
 * A file begins with a `table`: each partition as it stood when the file was begun, with the sequence of the last frame
 * before. The other frames count up from there, over all files. They say physically what was written where, so that doing
 * them again, in order, gives the same files whatever had been done.
 *
 *     table:  count u32, then (topic, partition, start i64, end i64, segment base i64, segment size i64, last batch i64)
 *     group:  count u32, then (topic, partition, segment base i64, position i64, length u32, the batch)
 *     trim:   topic, partition, start i64, segment base i64
 *     replace: topic, partition, segment base i64, end i64, segment size i64, token i64: one segment, which holds the offsets
 *             from its base to the end, in the place of all that began there
 *
 * where topic is u16 length and UTF-8, partition u32, and `last batch` the position of the segment's last one or -1.
 */
export const FRAME_HEADER = 28;
export const FRAME_MAGIC = 0x54526a67;
const FRAME_VERSION = 1;
const maxPayload = 0x7fffffff - FRAME_HEADER;

export type FrameKind = 'table' | 'group' | 'trim' | 'replace';
const kinds: readonly FrameKind[] = ['table', 'group', 'trim', 'replace'];

/** Where a partition stands: all that is needed to append to it. */
export interface PartitionState {
  readonly topic: string;
  readonly partition: number;
  start: number;
  end: number;
  /** Base offset of the active segment. */
  base: number;
  /** Bytes in the active segment. */
  size: number;
  /** Position of the active segment's last batch; -1 when it has none. */
  lastBatchAt: number;
}

export function frameSeed(logId: string): number {
  return crc32c(logId);
}

/** Builds frames in memory that is used over and over. */
export class FrameWriter {
  readonly #seed: number;
  #bytes = Buffer.allocUnsafeSlow(64 * 1024);
  #at = FRAME_HEADER;

  constructor(seed: number) {
    this.#seed = seed;
  }

  begin(): void {
    // A huge group must not hold its memory for ever.
    if (this.#bytes.length > 8 * 1024 * 1024) this.#bytes = Buffer.allocUnsafeSlow(64 * 1024);
    this.#at = FRAME_HEADER;
  }

  u32(value: number): void {
    this.#need(4);
    this.#at = this.#bytes.writeUInt32BE(value, this.#at);
  }

  i64(value: number): void {
    this.#need(8);
    writeInt64(this.#bytes, this.#at, value);
    this.#at += 8;
  }

  partition(topic: string, partition: number): void {
    const length = Buffer.byteLength(topic);
    this.#need(6 + length);
    this.#at = this.#bytes.writeUInt16BE(length, this.#at);
    this.#at += this.#bytes.write(topic, this.#at);
    this.u32(partition);
  }

  blob(bytes: Buffer, length: number): void {
    this.u32(length);
    this.#need(length);
    bytes.copy(this.#bytes, this.#at, 0, length);
    this.#at += length;
  }

  /** The frame; good until the next `begin`. */
  finish(kind: FrameKind, sequence: number): Buffer {
    const bytes = this.#bytes;
    bytes.writeUInt32BE(FRAME_MAGIC, 0);
    bytes[4] = FRAME_VERSION;
    bytes[5] = kinds.indexOf(kind);
    bytes.writeUInt16BE(0, 6);
    writeInt64(bytes, 8, sequence);
    bytes.writeUInt32BE(this.#at - FRAME_HEADER, 16);
    bytes.writeUInt32BE(crc32c(bytes.subarray(FRAME_HEADER, this.#at), this.#seed), 20);
    bytes.writeUInt32BE(crc32c(bytes.subarray(0, 24), this.#seed), 24);
    return bytes.subarray(0, this.#at);
  }

  #need(size: number): void {
    const needed = this.#at + size;
    if (needed <= this.#bytes.length) return;
    if (needed > maxPayload) throw new TailraceError('internal', 'one group of the log is larger than 2 GiB');
    const larger = Buffer.allocUnsafeSlow(Math.min(Math.max(needed, this.#bytes.length * 2), maxPayload));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

export function writeTable(writer: FrameWriter, states: readonly PartitionState[], sequence: number): Buffer {
  writer.begin();
  writer.u32(states.length);
  for (const state of states) {
    writer.partition(state.topic, state.partition);
    writer.i64(state.start);
    writer.i64(state.end);
    writer.i64(state.base);
    writer.i64(state.size);
    writer.i64(state.lastBatchAt);
  }
  return writer.finish('table', sequence);
}

/** One segment in the place of all that begin within its offsets. */
export interface Replacement {
  readonly topic: string;
  readonly partition: number;
  readonly base: number;
  readonly end: number;
  readonly size: number;
  /** Tells the file apart from what an attempt left behind that came to nothing. */
  readonly token: number;
}

export function writeTrim(writer: FrameWriter, of: { readonly topic: string; readonly partition: number; readonly start: number; readonly base: number }, sequence: number): Buffer {
  writer.begin();
  writer.partition(of.topic, of.partition);
  writer.i64(of.start);
  writer.i64(of.base);
  return writer.finish('trim', sequence);
}

export function writeReplace(writer: FrameWriter, of: Replacement, sequence: number): Buffer {
  writer.begin();
  writer.partition(of.topic, of.partition);
  for (const value of [of.base, of.end, of.size, of.token]) writer.i64(value);
  return writer.finish('replace', sequence);
}

export function readReplace(payload: Buffer): Replacement {
  const reader = new PayloadReader(payload);
  const [topic, partition] = [reader.text(), reader.u32()];
  const [base, end, size, token] = [reader.i64(), reader.i64(), reader.i64(), reader.i64()];
  return { topic, partition, base, end, size, token };
}

export interface Frame {
  readonly kind: FrameKind;
  readonly sequence: number;
  readonly payload: Buffer;
  /** Bytes that it takes in the file. */
  readonly size: number;
}

/** A journal file that is being read. */
export interface JournalFile {
  readonly fd: number;
  readonly path: string;
  readonly seed: number;
  /** Bytes of it that count. */
  readonly fileSize: number;
}

/** The frame at `at`, or what is wrong with it. Throws `log-unknown-version`. */
export function readFrame({ fd, path, seed, fileSize }: JournalFile, at: number): Frame | string {
  const header = Buffer.allocUnsafe(FRAME_HEADER);
  if (at + FRAME_HEADER > fileSize || readSync(fd, header, 0, FRAME_HEADER, at) < FRAME_HEADER) {
    return 'the file ends within the header of a frame';
  }
  if (header.readUInt32BE(0) !== FRAME_MAGIC) return 'no frame begins here';
  if (header.readUInt32BE(24) !== crc32c(header.subarray(0, 24), seed)) return "the checksum of a frame's header does not fit";
  const kind = kinds[header[5] ?? -1];
  if (header[4] !== FRAME_VERSION || kind === undefined) {
    throw new TailraceError('log-unknown-version', `${path}, byte ${at}: a frame of version ${header[4]}, kind ${header[5]}; this Tailrace knows ${FRAME_VERSION}`);
  }
  const length = header.readUInt32BE(16);
  if (at + FRAME_HEADER + length > fileSize) return 'the file ends within a frame';
  const payload = Buffer.allocUnsafeSlow(length);
  if (readSync(fd, payload, 0, length, at + FRAME_HEADER) < length) return 'the file ends within a frame';
  if (header.readUInt32BE(20) !== crc32c(payload, seed)) return 'the checksum of a frame does not fit';
  return { kind, sequence: readInt64(header, 8), payload, size: FRAME_HEADER + length };
}

/** Reads a payload field by field; its CRC has been checked, so that a RangeError here is a bug. */
export class PayloadReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u32(): number {
    this.#at += 4;
    return this.#bytes.readUInt32BE(this.#at - 4);
  }

  i64(): number {
    this.#at += 8;
    return readInt64(this.#bytes, this.#at - 8);
  }

  text(): string {
    const length = this.#bytes.readUInt16BE(this.#at);
    this.#at += 2 + length;
    return this.#bytes.toString('utf8', this.#at - length, this.#at);
  }

  blob(): Buffer {
    const length = this.u32();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

export function readTable(payload: Buffer): PartitionState[] {
  const reader = new PayloadReader(payload);
  const states: PartitionState[] = [];
  for (let count = reader.u32(); count > 0; count--) {
    const topic = reader.text();
    const partition = reader.u32();
    const [start, end, base, size, lastBatchAt] = [reader.i64(), reader.i64(), reader.i64(), reader.i64(), reader.i64()];
    states.push({ topic, partition, start, end, base, size, lastBatchAt });
  }
  return states;
}
