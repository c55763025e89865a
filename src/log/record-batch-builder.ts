import { TailraceError } from '../runtime/errors.ts';
import { copySlice } from '../runtime/slice.ts';
import type { BatchBuilder, Oversize, RecordDraft } from './log.ts';
import type { BufferPool } from './buffer-pool.ts';
import { BATCH_HEADER, MAX_BATCH, writeBatchHeader, type Stamp } from './record-batch.ts';
import { varintSize, varlongSize, writeVarint, writeVarlong } from './varint.ts';

/** Milliseconds: the difference of any two below it is a varlong that doubles hold exactly. */
const longestTimestamp = 2 ** 51;

/** A batch that is finished but for its place. `bytes[0, length)`. */
export interface FinishedBatch {
  readonly bytes: Buffer;
  readonly length: number;
  readonly count: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
}

export interface BuilderTarget {
  readonly topic: string;
  readonly partition: number;
  readonly stamp: Stamp;
  /** Bytes that a batch has at most, unless a single record is larger; 1 MiB. */
  readonly maxBatch?: number;
  /** Asked about each record; without it none is too large. */
  readonly oversize?: (draft: RecordDraft) => Oversize | undefined;
}

/**
 * Encodes records as they are added, straight into the bytes that go to disk. The records of a builder become one batch,
 * or several of at most 1 MiB each (or what the target says): so a reader needs to hold and check no more than that for one record.
 */
export class RecordBatchBuilder implements BatchBuilder {
  readonly topic: string;
  readonly partition: number;
  readonly #stamp: Stamp;
  readonly #maxBatch: number;
  readonly #oversize: BuilderTarget['oversize'];
  readonly #pool: BufferPool;
  readonly #finished: FinishedBatch[] = [];
  #finishedBytes = 0;
  #count = 0;
  #closed = false;

  // the batch that is being filled
  #bytes: Buffer;
  #at = BATCH_HEADER;
  #inBatch = 0;
  #baseTimestamp = 0;
  #maxTimestamp = 0;

  constructor(target: BuilderTarget, pool: BufferPool) {
    this.topic = target.topic;
    this.partition = target.partition;
    this.#stamp = target.stamp;
    this.#maxBatch = target.maxBatch ?? MAX_BATCH;
    this.#oversize = target.oversize;
    this.#pool = pool;
    this.#bytes = pool.take(0);
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#finishedBytes + (this.#inBatch === 0 ? 0 : this.#at);
  }

  oversize(draft: RecordDraft): Oversize | undefined {
    return this.#oversize?.(draft);
  }

  add(draft: RecordDraft): void {
    if (this.#closed) throw new TailraceError('internal', 'a record was added to a batch that was appended before');
    if (!Number.isInteger(draft.timestamp) || Math.abs(draft.timestamp) >= longestTimestamp) {
      throw new TailraceError('internal', `a record's timestamp is ${draft.timestamp}`);
    }
    let size = recordSize(draft, this.#inBatch, draft.timestamp - this.#baseTimestamp);
    if (this.#inBatch > 0 && this.#at + size + 5 > this.#maxBatch) this.#finish();
    if (this.#inBatch === 0) {
      this.#baseTimestamp = draft.timestamp;
      this.#maxTimestamp = draft.timestamp;
      size = recordSize(draft, 0, 0);
    }
    const needed = this.#at + size + 5;
    if (needed > this.#bytes.length) this.#grow(needed);
    if (draft.timestamp > this.#maxTimestamp) this.#maxTimestamp = draft.timestamp;
    const body = writeVarint(this.#bytes, this.#at, size);
    this.#bytes[body] = 0;
    const deltas = writeVarlong(this.#bytes, body + 1, draft.timestamp - this.#baseTimestamp);
    this.#at = writeContent(this.#bytes, writeVarint(this.#bytes, deltas, this.#inBatch), draft);
    this.#inBatch++;
    this.#count++;
  }

  /** The batches, in order; nothing can be added afterwards. */
  finish(): readonly FinishedBatch[] {
    if (this.#closed) throw new TailraceError('internal', 'a batch was appended twice');
    this.#closed = true;
    if (this.#inBatch > 0) this.#finish();
    return this.#finished;
  }

  /** Gives the memory back, once nobody reads the batches any more. */
  release(): void {
    for (const batch of this.#finished) this.#pool.give(batch.bytes);
    this.#finished.length = 0;
    this.#pool.give(this.#bytes);
  }

  #finish(): void {
    const batch = {
      bytes: this.#bytes,
      length: this.#at,
      count: this.#inBatch,
      baseTimestamp: this.#baseTimestamp,
      maxTimestamp: this.#maxTimestamp,
    };
    writeBatchHeader(batch.bytes, batch.length, { ...batch, stamp: this.#stamp });
    this.#finished.push(batch);
    this.#finishedBytes += batch.length;
    this.#bytes = this.#pool.take(this.#closed ? 0 : batch.bytes.length);
    this.#at = BATCH_HEADER;
    this.#inBatch = 0;
  }

  #grow(needed: number): void {
    const larger = this.#pool.take(needed);
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#pool.give(this.#bytes);
    this.#bytes = larger;
  }
}

/** Of the record without its own length. */
function recordSize(draft: RecordDraft, offsetDelta: number, timestampDelta: number): number {
  const { key, value, headers } = draft;
  const keyLength = key.start < 0 ? -1 : key.end - key.start;
  const valueLength = value.start < 0 ? -1 : value.end - value.start;
  let size = 1 + varlongSize(timestampDelta) + varintSize(offsetDelta) + varintSize(keyLength) + varintSize(valueLength);
  if (keyLength > 0) size += keyLength;
  if (valueLength > 0) size += valueLength;
  let count = 0;
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i];
    if (header === undefined || header.value.start < 0) continue;
    const length = header.value.end - header.value.start;
    size += varintSize(header.name.length) + header.name.length + varintSize(length) + length;
    count++;
  }
  return size + varintSize(count);
}

function writeContent(bytes: Buffer, at: number, { key, value, headers }: RecordDraft): number {
  at = writeBytes(bytes, at, key);
  at = writeBytes(bytes, at, value);
  let count = 0;
  for (let i = 0; i < headers.length; i++) if ((headers[i]?.value.start ?? -1) >= 0) count++;
  at = writeVarint(bytes, at, count);
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i];
    if (header === undefined || header.value.start < 0) continue;
    at = writeName(bytes, at, header.name);
    at = writeBytes(bytes, at, header.value);
  }
  return at;
}

function writeBytes(bytes: Buffer, at: number, slice: { bytes: Uint8Array; start: number; end: number }): number {
  if (slice.start < 0) return writeVarint(bytes, at, -1);
  const length = slice.end - slice.start;
  at = writeVarint(bytes, at, length);
  if (length >= 40) {
    copySlice(slice, bytes, at);
    return at + length;
  }
  // Measured: below 40 bytes a loop is faster.
  const source = slice.bytes;
  for (let i = slice.start; i < slice.end; i++) bytes[at++] = source[i] as number;
  return at;
}

function writeName(bytes: Buffer, at: number, name: string): number {
  at = writeVarint(bytes, at, name.length);
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code > 0x7f) throw new TailraceError('internal', 'a header name is not ASCII');
    bytes[at++] = code;
  }
  return at;
}
