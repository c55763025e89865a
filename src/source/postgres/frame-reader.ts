import { readUint32 } from './bytes.ts';

/** Postgres itself makes no message larger than this (MaxAllocSize): a longer one is nonsense, and nothing is allocated for it. */
const maxLength = 0x3fff_ffff;

/**
 * Finds the messages of the backend in the chunks that a socket delivers, whatever the chunks' boundaries (the PostgreSQL
 * manual, "Message Formats": a type byte, a length that counts itself, the body). A message inside one chunk is used where it
 * is; one that spans chunks is put together in a buffer of its own, once, whose size its header tells.
 */
export class FrameReader {
  /** The current message is of `type`; its body is `bytes[start, end)`. */
  bytes: Uint8Array = empty;
  type = 0;
  start = 0;
  end = 0;

  #chunk: Uint8Array = empty;
  #at = 0;
  /** A message that began in an earlier chunk: its first bytes, whole once `#filled` reaches the length. */
  #spanning: Uint8Array | null = null;
  #filled = 0;
  /** Up to four bytes of a header that was cut. */
  readonly #header = new Uint8Array(5);
  #headerBytes = 0;

  /** Only after `next` has returned false. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** Moves to the next message; false when the rest of it has not come yet. Throws a `RangeError` for an impossible length. */
  next(): boolean {
    if (this.#spanning !== null) return this.#fill(this.#spanning);
    if (this.#headerBytes > 0) return this.#completeHeader();
    const chunk = this.#chunk;
    const at = this.#at;
    const left = chunk.length - at;
    if (left < 5) {
      for (let i = 0; i < left; i++) this.#header[i] = chunk[at + i] as number;
      this.#headerBytes = left;
      this.#at = chunk.length;
      return false;
    }
    const length = checked(readUint32(chunk, at + 1));
    if (left <= length) return this.#fill(this.#span(length + 1));
    this.bytes = chunk;
    this.type = chunk[at] as number;
    this.start = at + 5;
    this.#at = this.end = at + 1 + length;
    return true;
  }

  /** The current message with its header. */
  whole(): Uint8Array {
    return this.bytes.subarray(this.start - 5, this.end);
  }

  /** What has come behind the current message: for who reads on in another way. */
  rest(): Uint8Array {
    return this.#chunk.subarray(this.#at);
  }

  #completeHeader(): boolean {
    while (this.#headerBytes < 5) {
      if (this.#at >= this.#chunk.length) return false;
      this.#header[this.#headerBytes++] = this.#chunk[this.#at++] as number;
    }
    const spanning = this.#span(checked(readUint32(this.#header, 1)) + 1);
    spanning.set(this.#header);
    this.#filled = 5;
    this.#headerBytes = 0;
    return this.#fill(spanning);
  }

  #span(length: number): Uint8Array {
    // Slow: a buffer of its own, because a row that stays referenced must not hold a whole pool.
    this.#spanning = Buffer.allocUnsafeSlow(length);
    this.#filled = 0;
    return this.#spanning;
  }

  #fill(spanning: Uint8Array): boolean {
    const take = Math.min(spanning.length - this.#filled, this.#chunk.length - this.#at);
    spanning.set(this.#chunk.subarray(this.#at, this.#at + take), this.#filled);
    this.#filled += take;
    this.#at += take;
    if (this.#filled < spanning.length) return false;
    this.#spanning = null;
    this.bytes = spanning;
    this.type = spanning[0] as number;
    this.start = 5;
    this.end = spanning.length;
    return true;
  }
}

function checked(length: number): number {
  if (length < 4 || length > maxLength) throw new RangeError(`a message claims a length of ${length} bytes`);
  return length;
}

const empty = new Uint8Array(0);
