import type { ByteWriter } from '../byte-writer.ts';

/**
 * Avro's binary encoding (the Avro specification, "Binary Encoding"): a whole number is a zigzag varint, a text or bytes its
 * length and the bytes, a union the number of its branch and the value, a record its fields one after the other.
 */

/** What a double counts exactly, halved for the zigzag. */
const plainLimit = 2 ** 52;

/** A whole number of at most 2^52 either way. */
export function writeLong(writer: ByteWriter, value: number): void {
  let rest = value >= 0 ? value * 2 : -value * 2 - 1;
  while (rest >= 0x8000_0000) {
    writer.byte((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  while (rest >= 0x80) {
    writer.byte((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  writer.byte(rest);
}

/** Any number of 64 bits. */
export function writeBigLong(writer: ByteWriter, value: bigint): void {
  if (value >= -plainLimit && value <= plainLimit) return writeLong(writer, Number(value));
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  while (rest >= 0x80n) {
    writer.byte(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  writer.byte(Number(rest));
}

/** `seconds` and `micros` as one number of microseconds. */
export function writeMicros(writer: ByteWriter, seconds: number, micros: number): void {
  const value = seconds * 1e6 + micros;
  if (Math.abs(value) < plainLimit) writeLong(writer, value);
  else writeBigLong(writer, BigInt(seconds) * 1_000_000n + BigInt(micros));
}

/** ASCII only. */
export function writeAscii(writer: ByteWriter, text: string): void {
  writeLong(writer, text.length);
  writer.ascii(text);
}

export function writeUtf8(writer: ByteWriter, text: string): void {
  writeLong(writer, Buffer.byteLength(text));
  writer.utf8(text);
}

export function writeDouble(writer: ByteWriter, value: number): void {
  writer.ensure(8);
  writer.length = writer.bytes.writeDoubleLE(value, writer.length);
}

export function writeFloat(writer: ByteWriter, value: number): void {
  writer.ensure(4);
  writer.length = writer.bytes.writeFloatLE(value, writer.length);
}

/** Walks Avro's bytes; trusts nothing: throws a `SyntaxError` for what ends too early or is too long. */
export class AvroReader {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  #limit = 0;
  #view: DataView = new DataView(new ArrayBuffer(0));

  reset(bytes: Uint8Array, start: number, end: number): this {
    if (bytes !== this.bytes) this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.bytes = bytes;
    this.at = start;
    this.#limit = end;
    return this;
  }

  byte(): number {
    if (this.at >= this.#limit) throw new SyntaxError('it ends too early');
    return this.bytes[this.at++] as number;
  }

  /** A whole number; a bigint where a double does not count exactly. */
  long(): number | bigint {
    let low = 0;
    let scale = 1;
    for (let i = 0; i < 7; i++) {
      const byte = this.byte();
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return low % 2 === 0 ? low / 2 : -(low + 1) / 2;
      scale *= 128;
    }
    let rest = BigInt(low);
    for (let shift = 49n; ; shift += 7n) {
      const byte = this.byte();
      if (shift === 63n && byte > 1) throw new SyntaxError('a number of more than 64 bits');
      rest |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    const value = (rest >> 1n) ^ -(rest & 1n);
    return value >= -plainLimit && value <= plainLimit ? Number(value) : value;
  }

  /** Passes over a number. */
  skipLong(): void {
    for (let i = 0; i < 10; i++) if (this.byte() < 0x80) return;
    throw new SyntaxError('a number of more than 64 bits');
  }

  /** A length, or a number that has to be small. */
  size(): number {
    const value = this.long();
    if (typeof value !== 'number' || value < 0 || value > this.#limit - this.at) throw new SyntaxError('a length beyond the end');
    return value;
  }

  /** The branch of a union of null and one type. */
  isNull(): boolean {
    const branch = this.byte();
    if (branch !== 0 && branch !== 2) throw new SyntaxError('a branch that the union does not have');
    return branch === 0;
  }

  skip(size: number): void {
    if (size > this.#limit - this.at) throw new SyntaxError('it ends too early');
    this.at += size;
  }

  double(): number {
    this.skip(8);
    return this.#view.getFloat64(this.at - 8, true);
  }

  float(): number {
    this.skip(4);
    return this.#view.getFloat32(this.at - 4, true);
  }

  /** Nothing may follow. */
  finish(): void {
    if (this.at !== this.#limit) throw new SyntaxError('more than its schema says');
  }
}
