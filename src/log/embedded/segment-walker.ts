import { readSync } from 'node:fs';
import { BATCH_HEADER, batchBaseTimestamp, batchMaxTimestamp, batchNextOffset, claimedSize, type Stamp,  } from '../record-batch.ts';
import { headerProblem } from './stamp.ts';

const chunk = 64 * 1024;

/** Where a batch begins, or where the next one would. */
export interface Place {
  readonly offset: number;
  readonly position: number;
}

/**
 * Goes from batch to batch of a segment by their headers, without reading the records: for finding an offset or the end,
 * and for building an index. CRCs are checked by who reads the records.
 */
export class SegmentWalker {
  readonly #fd: number;
  readonly #stamp: Stamp;
  /** Bytes of the file that count. */
  readonly fileSize: number;
  readonly #buffer = Buffer.allocUnsafeSlow(chunk);
  #bufferAt = 0;
  #buffered = 0;
  #head = 0;

  /** Of the batch that `next()` moved to. */
  offset: number;
  position: number;
  size = 0;
  nextOffset: number;
  /** Set when `next()` returned false for any other reason than the end of the file. */
  problem: string | undefined;
  /** Whether that is only that the file ends too early. */
  incomplete = false;

  /** `size`: bytes of the file that count. `from`: where a batch begins. */
  constructor(fd: number, size: number, from: Place, stamp: Stamp) {
    this.#fd = fd;
    this.fileSize = size;
    this.#stamp = stamp;
    this.offset = from.offset;
    this.nextOffset = from.offset;
    this.position = from.position;
  }

  /** Moves on; false at the end, where `end` is the place behind the last whole batch. */
  next(): boolean {
    const { offset, position } = this.end;
    if (position + BATCH_HEADER > this.fileSize) return position < this.fileSize && this.#stopWithin();
    this.#load(position);
    this.problem = headerProblem(this.#buffer, this.#head, offset, this.#stamp);
    if (this.problem !== undefined) return false;
    const size = claimedSize(this.#buffer, this.#head);
    if (position + size > this.fileSize) return this.#stopWithin();
    this.offset = offset;
    this.position = position;
    this.size = size;
    this.nextOffset = batchNextOffset(this.#buffer, this.#head);
    return true;
  }

  /** Behind the current batch. */
  get end(): Place {
    return { offset: this.nextOffset, position: this.position + this.size };
  }

  get baseTimestamp(): number {
    return batchBaseTimestamp(this.#buffer, this.#head);
  }

  get maxTimestamp(): number {
    return batchMaxTimestamp(this.#buffer, this.#head);
  }

  #stopWithin(): false {
    this.problem = 'the file ends within a batch';
    this.incomplete = true;
    return false;
  }

  #load(position: number): void {
    if (position < this.#bufferAt || position + BATCH_HEADER > this.#bufferAt + this.#buffered) {
      // Large batches: their headers only, or a gigabyte would be read to see kilobytes of it.
      const wanted = this.size > chunk / 2 ? BATCH_HEADER : chunk;
      this.#bufferAt = position;
      this.#buffered = readSync(this.#fd, this.#buffer, 0, wanted, position);
      if (this.#buffered < BATCH_HEADER) this.#buffer.fill(0, this.#buffered, BATCH_HEADER);
    }
    this.#head = position - this.#bufferAt;
  }
}
