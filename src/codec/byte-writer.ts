import { copySlice } from '../runtime/slice.ts';

/**
 * Scratch memory that grows and is used again for every row: a codec writes a record's parts into it and hands out
 * slices. Growing moves the memory, so slices are taken only when everything is written.
 */
export class ByteWriter {
  bytes: Buffer = Buffer.allocUnsafeSlow(4096);
  /** Over `bytes`. */
  view: DataView = viewOf(this.bytes);
  length = 0;
  /** Whether a text that was written (json-text.ts) has a byte that is not ASCII: its top bit, anywhere in it. */
  notAscii = 0;
  /**
   * How many values of rows stand otherwise than their columns say: as a text in place of what the type has, as null where
   * none is to be, or not at all. Where there is none, what may be said of the row is said of its table.
   */
  odd = 0;

  reset(): void {
    // One huge row must not pin its memory for the life of the process.
    if (this.bytes.length > keptBytes) this.#use(Buffer.allocUnsafeSlow(4096));
    this.length = this.notAscii = this.odd = 0;
  }

  /** Makes room for `size` more bytes. */
  ensure(size: number): void {
    const needed = this.length + size;
    if (needed <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.#use(larger);
  }

  #use(bytes: Buffer): void {
    this.bytes = bytes;
    this.view = viewOf(bytes);
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.ensure(1);
    this.bytes[this.length++] = value;
  }

  uint16(value: number): void {
    this.ensure(2);
    this.length = this.bytes.writeUInt16BE(value, this.length);
  }

  uint32(value: number): void {
    this.ensure(4);
    this.length = this.bytes.writeUInt32BE(value, this.length);
  }

  /** Overwrites four bytes written before, once a length is known. */
  setUint32(at: number, value: number): void {
    this.bytes.writeUInt32BE(value, at);
  }

  copy(source: Uint8Array, start: number, end: number): void {
    const size = end - start;
    this.ensure(size);
    const { bytes } = this;
    let at = this.length;
    // A loop beats the call into `set` for the short values that most columns are.
    if (size <= 32) for (let i = start; i < end; i++) bytes[at++] = source[i] as number;
    else copySlice({ bytes: source, start, end }, bytes, at);
    this.length += size;
  }

  append(source: Uint8Array): void {
    const { length } = source;
    if (length <= 32) return this.copy(source, 0, length);
    this.ensure(length);
    this.bytes.set(source, this.length);
    this.length += length;
  }

  /** A whole number that is not negative, as decimal digits; with zeros in front where there are less than `width`. */
  decimal(value: number, width = 1): void {
    let digits = width;
    for (let limit = 10 ** width; value >= limit; limit *= 10) digits++;
    this.ensure(digits);
    const { bytes } = this;
    const start = this.length;
    this.length += digits;
    for (let at = this.length - 1; at >= start; at--) {
      const rest = Math.floor(value / 10);
      bytes[at] = 0x30 + value - rest * 10;
      value = rest;
    }
  }

  /** ASCII only. */
  ascii(text: string): void {
    this.ensure(text.length);
    this.length += this.bytes.write(text, this.length, 'latin1');
  }

  utf8(text: string): void {
    this.ensure(text.length * 3);
    this.length += this.bytes.write(text, this.length, 'utf8');
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

const keptBytes = 4 * 1024 * 1024;
