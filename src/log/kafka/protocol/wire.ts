import { TailraceError } from '../../../runtime/errors.ts';
import { readInt64, writeInt64 } from '../../record-batch.ts';

/**
 * Kafka's primitive types (https://kafka.apache.org/protocol#protocol_types), as the versions of requests that are used here
 * have them: fixed widths, big-endian, lengths in front. 64-bit numbers are offsets, sizes and milliseconds, all below 2^53.
 */
export class RequestWriter {
  #bytes = Buffer.allocUnsafe(256);
  #at = 0;
  readonly #done: Buffer[] = [];
  #doneBytes = 0;

  /** All parts in order; nothing of what was attached is copied. */
  get parts(): readonly Buffer[] {
    return [...this.#done, this.#bytes.subarray(0, this.#at)];
  }

  get length(): number {
    return this.#doneBytes + this.#at;
  }

  int8(value: number): this {
    // Before the buffer is looked at: it may be another one then.
    const at = this.#take(1);
    this.#bytes.writeInt8(value, at);
    return this;
  }

  int16(value: number): this {
    const at = this.#take(2);
    this.#bytes.writeInt16BE(value, at);
    return this;
  }

  int32(value: number): this {
    const at = this.#take(4);
    this.#bytes.writeInt32BE(value, at);
    return this;
  }

  int64(value: number): this {
    const at = this.#take(8);
    writeInt64(this.#bytes, at, value);
    return this;
  }

  boolean(value: boolean): this {
    return this.int8(value ? 1 : 0);
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1);
    const length = Buffer.byteLength(value);
    this.int16(length);
    const at = this.#take(length);
    this.#bytes.write(value, at);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.int32(value.length);
    const at = this.#take(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** As `bytes`, without a copy: the caller leaves them alone until the request is answered. */
  attach(value: Buffer): this {
    this.int32(value.length);
    this.#done.push(this.#bytes.subarray(0, this.#at), value);
    this.#doneBytes += this.#at + value.length;
    this.#bytes = Buffer.allocUnsafe(256);
    this.#at = 0;
    return this;
  }

  array<T>(items: Iterable<T> | null, write: (item: T) => void): this {
    if (items === null) return this.int32(-1);
    const all = [...items];
    this.int32(all.length);
    for (const item of all) write(item);
    return this;
  }

  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, at + size));
      this.#bytes.copy(larger, 0, 0, at);
      this.#bytes = larger;
    }
    this.#at = at + size;
    return at;
  }
}

export class ResponseReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  int8(): number {
    return this.#bytes.readInt8(this.#skip(1));
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#skip(2));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#skip(4));
  }

  int64(): number {
    return readInt64(this.#bytes, this.#skip(8));
  }

  boolean(): boolean {
    return this.int8() !== 0;
  }

  string(): string {
    return this.nullableString() ?? '';
  }

  nullableString(): string | null {
    const length = this.int16();
    if (length < 0) return null;
    const at = this.#skip(length);
    return this.#bytes.toString('utf8', at, at + length);
  }

  /** A view, no copy; null is empty. */
  bytes(): Buffer {
    const length = Math.max(0, this.int32());
    const at = this.#skip(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** A null array is an empty one. */
  array<T>(read: () => T): T[] {
    const length = this.int32();
    const items: T[] = [];
    for (let i = 0; i < length; i++) items.push(read());
    return items;
  }

  #skip(size: number): number {
    const at = this.#at;
    this.#at = at + size;
    if (this.#at > this.#bytes.length) throw new TailraceError('internal', 'an answer of Kafka is shorter than its own lengths say');
    return at;
  }
}

/** One kind of request in one version, with what it is answered by. */
export interface Api<Request, Response> {
  readonly key: number;
  readonly version: number;
  readonly name: string;
  encode(writer: RequestWriter, request: Request): void;
  decode(reader: ResponseReader): Response;
}
