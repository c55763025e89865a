import { TailraceError } from '../runtime/errors.ts';
import type { Slice } from '../runtime/slice.ts';
import type { RecordCursor } from './log.ts';
import { BATCH_HEADER, batchBaseOffset, batchBaseTimestamp, batchCount, claimedSize } from './record-batch.ts';

const nothing = Buffer.alloc(0);

/** Walks whole batches that were checked before, from a first offset on. */
export class BatchCursor implements RecordCursor {
  readonly nextOffset: number;
  readonly isLast: boolean;
  offset = -1;
  timestamp = -1;
  readonly key: Slice;
  readonly value: Slice;
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #from: number;
  /** Of the next record. */
  #at = 0;
  #batchEnd = 0;
  #left = 0;
  #recordAt = 0;
  #baseOffset = 0;
  #baseTimestamp = 0;
  #headers = 0;

  /** `bytes[0, end)` is a sequence of whole batches; records below `from` are passed over. */
  constructor(bytes: Buffer, end: number, range: { readonly from: number; readonly next: number; readonly isLast?: boolean }) {
    this.#bytes = bytes;
    this.#end = end;
    this.#from = range.from;
    this.nextOffset = range.next;
    this.isLast = range.isLast ?? false;
    this.key = { bytes, start: -1, end: -1 };
    this.value = { bytes, start: -1, end: -1 };
  }

  static empty(offset: number): BatchCursor {
    return new BatchCursor(nothing, 0, { from: offset, next: offset, isLast: true });
  }

  next(): boolean {
    do {
      // A batch whose records were all compacted away has none.
      while (this.#left === 0) if (!this.#nextBatch()) return false;
      this.#left--;
      this.#read();
    } while (this.offset < this.#from);
    return true;
  }

  /** Bytes of the current record, its length included. */
  get recordStart(): number {
    return this.#recordAt;
  }

  get recordEnd(): number {
    return this.#at;
  }

  header(name: string, out: Slice): boolean {
    const bytes = this.#bytes;
    let at = this.#headers;
    const count = varint(bytes, at);
    at += varintLength(bytes, at);
    for (let i = 0; i < count; i++) {
      const nameLength = varint(bytes, at);
      at += varintLength(bytes, at);
      const matches = nameLength === name.length && sameName(bytes, at, name);
      at += nameLength;
      const length = varint(bytes, at);
      at += varintLength(bytes, at);
      if (matches) {
        out.bytes = bytes;
        out.start = length < 0 ? -1 : at;
        out.end = length < 0 ? -1 : at + length;
        return true;
      }
      if (length > 0) at += length;
    }
    return false;
  }

  headers(): readonly (readonly [name: string, value: Slice])[] {
    const bytes = this.#bytes;
    const found: (readonly [string, Slice])[] = [];
    const count = varint(bytes, this.#headers);
    let at = this.#headers + varintLength(bytes, this.#headers);
    for (let i = 0; i < count; i++) {
      const [name, value] = [{ bytes, start: -1, end: -1 }, { bytes, start: -1, end: -1 }];
      at = take(bytes, at, name);
      at = take(bytes, at, value);
      found.push([bytes.toString('utf8', name.start, name.end), value]);
    }
    return found;
  }

  #nextBatch(): boolean {
    const at = this.#batchEnd;
    if (at >= this.#end) return false;
    this.#batchEnd = at + claimedSize(this.#bytes, at);
    this.#baseOffset = batchBaseOffset(this.#bytes, at);
    this.#baseTimestamp = batchBaseTimestamp(this.#bytes, at);
    this.#left = batchCount(this.#bytes, at);
    this.#at = at + BATCH_HEADER;
    return true;
  }

  #read(): void {
    const bytes = this.#bytes;
    let at = this.#at;
    this.#recordAt = at;
    const size = varint(bytes, at);
    at += varintLength(bytes, at);
    const end = at + size;
    // The CRC was right, so that only a writer with a bug could have written this; a loop must end all the same.
    if (size < 6 || end > this.#batchEnd) throw new TailraceError('log-damaged', `a record behind offset ${this.offset} has a length of ${size}`);
    at++;
    this.timestamp = this.#baseTimestamp + varint(bytes, at);
    at += varintLength(bytes, at);
    this.offset = this.#baseOffset + varint(bytes, at);
    at += varintLength(bytes, at);
    at = take(bytes, at, this.key);
    at = take(bytes, at, this.value);
    this.#headers = at;
    this.#at = end;
  }
}

function take(bytes: Buffer, at: number, out: Slice): number {
  const length = varint(bytes, at);
  const start = at + varintLength(bytes, at);
  out.start = length < 0 ? -1 : start;
  out.end = length < 0 ? -1 : start + length;
  return length < 0 ? start : start + length;
}

function varint(bytes: Buffer, at: number): number {
  let byte = bytes[at] as number;
  if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1);
  let zigzag = byte & 0x7f;
  // Shifts have 32 bits: timestamps may need more, so that further bytes are multiplied in.
  for (let factor = 0x80; byte >= 0x80 && factor < 2 ** 56; factor *= 0x80) {
    byte = bytes[++at] as number;
    zigzag += (byte & 0x7f) * factor;
  }
  return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
}

function varintLength(bytes: Buffer, at: number): number {
  let length = 1;
  while ((bytes[at++] as number) >= 0x80) length++;
  return length;
}

function sameName(bytes: Buffer, at: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[at + i] !== name.charCodeAt(i)) return false;
  return true;
}
