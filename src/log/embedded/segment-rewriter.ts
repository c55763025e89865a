import { randomInt } from 'node:crypto';
import { closeSync, openSync, rmSync } from 'node:fs';
import { failpoint } from '../../runtime/failpoint.ts';
import { BATCH_HEADER, LENGTH_HEADER, batchBaseOffset, batchCount, sealBatch, writeBatchHeader, writeInt64, type Stamp } from '../record-batch.ts';
import { fdatasyncAsync, syncDirectory, writeAll } from './durable-files.ts';
import { FILE_MODE, rewrittenPath } from './layout.ts';
import { INDEX_ENTRY, INDEX_INTERVAL, writeIndexEntry } from './segment-index.ts';
import { recordsOf, type ScannedBatch } from './segment-scan.ts';
import { placeBatch } from './stamp.ts';
import type { BatchCursor } from '../record-cursor.ts';

/** A segment that is durable beside those that it is to replace: all that begin within `[base, end)`. */
export interface Rewritten {
  readonly base: number;
  readonly end: number;
  readonly size: number;
  readonly token: number;
  readonly index: Buffer;
  /** Whether offsets in it have no record, which Tailrace could not read in the format's first version. */
  readonly hasGaps: boolean;
}

const outSize = 1024 * 1024;

/**
 * Writes a segment that holds what is kept of others. Every record keeps its offset, and a batch its place: batches still follow
 * each other without a hole, as readers check; what went leaves a batch with fewer records than offsets, as Kafka's format has it, and
 * where a whole batch went, the one before it covers its offsets.
 */
export class SegmentRewriter {
  readonly #directory: string;
  readonly #stamp: Stamp;
  readonly #base: number;
  readonly #token = randomInt(2 ** 47);
  readonly #fd: number;
  readonly #index: Buffer[] = [];
  #indexedAt = 0;
  /** The last batch, which may have to cover what follows; null before the first. */
  #pending: Buffer | null = null;
  #pendingNext: number;
  #out: Buffer[] = [];
  #outBytes = 0;
  #written = 0;
  #size = 0;
  #hasGaps = false;
  #isOpen = true;

  constructor(directory: string, base: number, stamp: Stamp) {
    this.#directory = directory;
    this.#stamp = stamp;
    this.#base = base;
    this.#pendingNext = base;
    this.#fd = openSync(this.#path, 'wx', FILE_MODE);
  }

  get #path(): string {
    return rewrittenPath(this.#directory, this.#base, this.#token);
  }

  /** The whole batch, byte by byte. */
  copy({ bytes, at, size, next }: ScannedBatch): void {
    this.#flush();
    this.#hasGaps ||= next - batchBaseOffset(bytes, at) !== batchCount(bytes, at);
    this.#pending = Buffer.from(bytes.subarray(at, at + size));
    this.#pendingNext = next;
  }

  /** What `keep` wants of a batch. Returns how many records that is. */
  filter(batch: ScannedBatch, keep: (record: BatchCursor) => boolean): number {
    const { bytes, at, next } = batch;
    const cursor = recordsOf(batch);
    const kept: Buffer[] = [];
    let maxTimestamp = -Infinity;
    while (cursor.next()) {
      if (!keep(cursor)) continue;
      kept.push(bytes.subarray(at + cursor.recordStart, at + cursor.recordEnd));
      maxTimestamp = Math.max(maxTimestamp, cursor.timestamp);
    }
    if (kept.length === batchCount(bytes, at)) {
      if (kept.length > 0) this.copy(batch);
      else this.#cover(next);
    } else if (kept.length === 0) this.#cover(next);
    else {
      this.#flush();
      const rebuilt = Buffer.concat([bytes.subarray(at, at + BATCH_HEADER), ...kept]);
      rebuilt.writeInt32BE(rebuilt.length - LENGTH_HEADER, 8);
      writeInt64(rebuilt, 35, maxTimestamp);
      rebuilt.writeInt32BE(kept.length, 57);
      sealBatch(rebuilt, rebuilt.length);
      this.#hasGaps = true;
      this.#pending = rebuilt;
      this.#pendingNext = next;
    }
    return kept.length;
  }

  /** Durable, and not in use yet. */
  async finish(): Promise<Rewritten> {
    this.#flush();
    this.#drain();
    await fdatasyncAsync(this.#fd);
    this.#close();
    await syncDirectory(this.#directory);
    failpoint('log.rewritten_unused');
    return { base: this.#base, end: this.#pendingNext, size: this.#size, token: this.#token, index: Buffer.concat(this.#index), hasGaps: this.#hasGaps };
  }

  /** In place of `finish`, or when that has failed. */
  discard(): void {
    this.#close();
    rmSync(this.#path, { force: true });
  }

  #close(): void {
    if (this.#isOpen) closeSync(this.#fd);
    this.#isOpen = false;
  }

  /** The offsets up to `next` have no record. */
  #cover(next: number): void {
    const base = this.#base;
    if (this.#pending === null) {
      this.#pending = Buffer.alloc(BATCH_HEADER);
      writeBatchHeader(this.#pending, BATCH_HEADER, { count: 0, baseTimestamp: -1, maxTimestamp: -1, stamp: this.#stamp });
      this.#pending.writeInt32BE(next - base - 1, 23);
      placeBatch(this.#pending, BATCH_HEADER, base);
    } else {
      this.#pending.writeInt32BE(next - batchBaseOffset(this.#pending, 0) - 1, 23);
      sealBatch(this.#pending, this.#pending.length);
    }
    this.#pendingNext = next;
    this.#hasGaps = true;
  }

  #flush(): void {
    if (this.#pending === null) return;
    const position = this.#size;
    this.#out.push(this.#pending);
    this.#outBytes += this.#pending.length;
    this.#size += this.#pending.length;
    this.#pending = null;
    if (position - this.#indexedAt >= INDEX_INTERVAL) {
      const entry = Buffer.alloc(INDEX_ENTRY);
      writeIndexEntry(entry, 0, this.#pendingNext - 1 - this.#base, position);
      this.#index.push(entry);
      this.#indexedAt = position;
    }
    if (this.#outBytes >= outSize) this.#drain();
  }

  #drain(): void {
    if (this.#outBytes === 0) return;
    writeAll(this.#fd, Buffer.concat(this.#out), this.#written);
    this.#written += this.#outBytes;
    this.#out = [];
    this.#outBytes = 0;
    failpoint('log.rewrite_mid');
  }
}
