import { KIND_NULL, KIND_TEXT } from '../../event/tuple.ts';
import type { RowBlock } from '../source.ts';

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const CAPITAL_N = 0x4e;

/** What stands behind a backslash: `\b \f \n \r \t \v`; everything else stands for itself. */
const unescaped = Uint8Array.from({ length: 256 }, (_, byte) => byte);
for (const [letter, byte] of [['b', 8], ['f', 12], ['n', 10], ['r', 13], ['t', 9], ['v', 11]] as const) unescaped[letter.charCodeAt(0)] = byte;

/** Bytes that mean themselves wherever they stand. */
const isPlain = Uint8Array.from({ length: 256 }, (_, byte) => (byte === TAB || byte === NEWLINE || byte === BACKSLASH ? 0 : 1));

/** Bytes that a tuple has more than the COPY text of the same row, at most: per column five for one, per row two. */
const growth = 6;
const fullFrom = 1 << 20;

/**
 * COPY's text format → tuples, byte by byte, in whatever pieces it comes (the PostgreSQL manual, COPY, "Text Format"). A copied
 * row then has exactly the form in which the stream sends the same row, and no value becomes a string.
 */
export class CopyTextReader {
  readonly #columns: number;
  #bytes: Uint8Array;
  /** Over the same bytes; and over the input, which mostly is a piece of the one before. */
  #view: DataView;
  #input: DataView = new DataView(new ArrayBuffer(0));
  /** What the next block begins with: as large as this one has grown. */
  #capacity: number;
  #starts = new Uint32Array(1024);
  #count = 0;
  /** End of the last whole row. */
  #length = 0;
  #at = 0;
  /** Where the current value's length has to be written; -1 between rows. */
  #lengthAt = -1;
  #column = 0;
  #isNull = false;
  #inEscape = false;

  /** `bytes`: where the first block begins; it goes on elsewhere where that is too small. */
  constructor(columns: number, { capacity = 256 << 10, bytes = new Uint8Array(0) }: { readonly capacity?: number; readonly bytes?: Uint8Array } = {}) {
    this.#columns = columns;
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#capacity = capacity;
  }

  /** Rows that are whole. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of the rows that are whole. */
  get length(): number {
    return this.#length;
  }

  /** Reads on in `chunk[from, to)`; stops behind the row that reaches `maxBytes`, and returns whether everything was read. */
  push(chunk: Uint8Array, maxBytes: number, from = 0, to = chunk.length): boolean {
    if (this.#input.buffer !== chunk.buffer || this.#input.byteOffset !== chunk.byteOffset || this.#input.byteLength !== chunk.length) this.#input = viewOf(chunk);
    for (let i = from; i < to; ) {
      if (this.#length >= maxBytes) return false;
      this.#reserve(to - i, maxBytes);
      i = this.#readRow(chunk, i, to);
    }
    return true;
  }

  /** The whole rows so far; the reader goes on with an empty block. */
  take(): RowBlock {
    const block = { bytes: this.#bytes, starts: this.#starts.subarray(0, this.#count), count: this.#count, length: this.#length };
    const begun = this.#bytes.subarray(this.#length, this.#at);
    this.#bytes = new Uint8Array(begun.length === 0 ? 0 : Math.max(this.#capacity, begun.length));
    this.#bytes.set(begun);
    this.#view = viewOf(this.#bytes);
    if (this.#lengthAt >= 0) this.#lengthAt -= this.#length;
    this.#at = begun.length;
    this.#starts = new Uint32Array(1024);
    this.#length = this.#count = 0;
    return block;
  }

  /**
   * Reads to the end of the row or of the input; returns where it stopped. The hot loop of a copy: four bytes at a time where none of them
   * is a separator or a backslash ("Bit Twiddling Hacks", haszero and hasless; a control character is looked at by itself, too).
   */
  #readRow(chunk: Uint8Array, from: number, to: number): number {
    const bytes = this.#bytes;
    const view = this.#view;
    const input = this.#input;
    if (this.#lengthAt < 0) this.#beginRow(bytes);
    let at = this.#at;
    let i = from;
    if (this.#inEscape && i < to) at = this.#unescape(chunk[i++] as number, at);
    while (i < to) {
      while (i + 4 <= to) {
        const word = input.getInt32(i);
        const slashes = word ^ 0x5c5c5c5c;
        if ((((word - 0x0e0e0e0e) & ~word) | ((slashes - 0x01010101) & ~slashes)) & 0x80808080) break;
        view.setInt32(at, word);
        i += 4;
        at += 4;
      }
      if (i === to) break;
      const byte = chunk[i++] as number;
      if (isPlain[byte] === 1) {
        bytes[at++] = byte;
      } else if (byte === BACKSLASH) {
        if (i === to) this.#inEscape = true;
        else at = this.#unescape(chunk[i++] as number, at);
      } else {
        this.#at = at;
        if (this.#columns > 0) this.#endValue(bytes);
        if (byte === NEWLINE) {
          this.#endRow();
          return i;
        }
        this.#beginValue(bytes);
        at = this.#at;
      }
    }
    this.#at = at;
    return i;
  }

  /** What stands behind a backslash. */
  #unescape(byte: number, at: number): number {
    this.#inEscape = false;
    if (byte === CAPITAL_N && at === this.#lengthAt + 4) {
      this.#isNull = true;
      return at;
    }
    this.#bytes[at] = unescaped[byte] as number;
    return at + 1;
  }

  #beginRow(bytes: Uint8Array): void {
    if (this.#count === this.#starts.length) {
      const larger = new Uint32Array(this.#starts.length * 2);
      larger.set(this.#starts);
      this.#starts = larger;
    }
    this.#starts[this.#count] = this.#at;
    bytes[this.#at++] = this.#columns >> 8;
    bytes[this.#at++] = this.#columns & 0xff;
    this.#column = 0;
    this.#lengthAt = this.#at;
    if (this.#columns > 0) this.#beginValue(bytes);
  }

  #beginValue(bytes: Uint8Array): void {
    this.#column++;
    bytes[this.#at] = KIND_TEXT;
    this.#lengthAt = this.#at + 1;
    this.#at += 5;
    this.#isNull = false;
  }

  #endValue(bytes: Uint8Array): void {
    const at = this.#lengthAt;
    if (this.#isNull) {
      bytes[at - 1] = KIND_NULL;
      this.#at = at;
      return;
    }
    const length = this.#at - at - 4;
    bytes[at] = length >>> 24;
    bytes[at + 1] = length >>> 16;
    bytes[at + 2] = length >>> 8;
    bytes[at + 3] = length;
  }

  #endRow(): void {
    if (this.#column !== this.#columns) throw new RangeError(`a row of COPY with ${this.#column} columns in place of ${this.#columns}`);
    this.#lengthAt = -1;
    this.#length = this.#at;
    this.#count++;
  }

  #reserve(input: number, maxBytes: number): void {
    const needed = this.#at + input * growth + 16;
    const size = this.#bytes.length;
    if (needed <= size) return;
    // A block that has outgrown the first sizes is taken to become as large as it may: what is outgrown is garbage, and that much of it is not cheap.
    const next = size < fullFrom || maxBytes === Infinity ? size * 2 : maxBytes + (64 << 10);
    const larger = new Uint8Array(Math.max(needed, this.#capacity, next));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
    this.#view = viewOf(larger);
    this.#capacity = larger.length;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
