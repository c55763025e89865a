/** Big-endian reading, as everything on Postgres's wire is. */
export function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return (readUint16(bytes, at) << 16 >>> 0) + readUint16(bytes, at + 2);
}

export function readInt32(bytes: Uint8Array, at: number): number {
  return (readUint16(bytes, at) << 16) | readUint16(bytes, at + 2);
}

export function readUint64(bytes: Uint8Array, at: number): bigint {
  return (BigInt(readUint32(bytes, at)) << 32n) | BigInt(readUint32(bytes, at + 4));
}

/** Walks over the fields of one message; throws a `RangeError` when it ends too early. */
export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  uint8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  uint16(): number {
    return readUint16(this.#bytes, this.#take(2));
  }

  uint32(): number {
    return readUint32(this.#bytes, this.#take(4));
  }

  int32(): number {
    return readInt32(this.#bytes, this.#take(4));
  }

  uint64(): bigint {
    return readUint64(this.#bytes, this.#take(8));
  }

  /** A string that ends with a zero byte. */
  string(): string {
    const stop = this.#bytes.indexOf(0, this.#at);
    const start = this.#take((stop < 0 ? this.#end : stop) - this.#at + 1);
    return decoder.decode(this.#bytes.subarray(start, this.#at - 1));
  }

  /** A view of the next `length` bytes. */
  view(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, this.#at);
  }

  #take(length: number): number {
    const start = this.#at;
    if (start + length > this.#end) throw new RangeError('a message ends before its last field');
    this.#at = start + length;
    return start;
  }
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
