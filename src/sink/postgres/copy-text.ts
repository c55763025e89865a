import { KIND_ABSENT, KIND_BINARY, KIND_NULL, TupleReader } from '../../event/tuple.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { OutBuffer } from './out-buffer.ts';

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const reader = new TupleReader();
const none = new Uint8Array(0);

/**
 * Rows in COPY's text format ("COPY", "Text Format" in the PostgreSQL manual): a tuple's values are Postgres's own text
 * already, so that escaping the four bytes that the format minds is the only pass over them. NULL and absent columns both
 * become `\N`: who writes absent columns never reads them back.
 */
export class CopyText {
  readonly #leftOut: Uint8Array | null;
  readonly #first: string;
  /** Over the bytes of the last tuple: those of many lie in one buffer. */
  #bytes: Uint8Array = none;
  #view: DataView = new DataView(none.buffer);

  /** `leftOut[i]` not 0 leaves the i-th column out. `first` is a number in a column of its own in front. */
  constructor(options: { readonly leftOut: Uint8Array | null; readonly first?: number }) {
    this.#leftOut = options.leftOut;
    this.#first = options.first === undefined ? '' : `${options.first}\t`;
  }

  /** Appends the tuple at `at`; `end` is at or behind its end. */
  append(out: OutBuffer, bytes: Uint8Array, at: number, end: number): void {
    out.reserve(roomFor(bytes, at, end));
    const before = out.length;
    if (this.#first !== '') out.length += out.bytes.write(this.#first, out.length, 'latin1');
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    const leftOut = this.#leftOut;
    reader.reset(bytes, at);
    while (reader.next()) {
      if (leftOut !== null && leftOut[reader.index] !== 0) continue;
      const kind = reader.kind;
      if (kind === KIND_NULL || kind === KIND_ABSENT) {
        out.bytes[out.length++] = BACKSLASH;
        out.bytes[out.length++] = 0x4e;
      } else {
        if (kind === KIND_BINARY) throw new TailraceError('internal', 'a tuple holds a binary value, which no sink was promised');
        escapeInto(out, this.#view, reader.start, reader.end);
      }
      out.bytes[out.length++] = TAB;
    }
    // The last separator becomes the end of the row. A table without columns has rows too: an empty line.
    if (out.length > before) out.length--;
    out.bytes[out.length++] = NEWLINE;
  }
}

/** At most: every byte could be escaped, a NULL takes two bytes and a separator where the tuple has one, and a number in front. */
function roomFor(bytes: Uint8Array, at: number, end: number): number {
  const size = end - at;
  if (size < 1024 * 1024) return size * 3 + 16;
  // Three times a huge row would be memory for nothing: count.
  let escaped = 0;
  for (let i = at; i < end; i++) if ((bytes[i] as number) <= 13 || bytes[i] === BACKSLASH || bytes[i] === KIND_NULL) escaped++;
  return size + escaped * 2 + 16;
}

/**
 * Room is reserved. Four bytes at a time, since nearly all need no care and a step a byte is what this would cost most of: a
 * word has a byte below n, or a zero byte, exactly when a borrow reaches the top of one ("Bit Twiddling Hacks", haszero, hasless).
 */
function escapeInto(out: OutBuffer, from: DataView, start: number, end: number): void {
  const to = out.view;
  let o = out.length;
  for (let i = start; i < end; ) {
    while (i + 4 <= end) {
      const word = from.getInt32(i);
      const slashes = word ^ 0x5c5c5c5c;
      if ((((word - 0x0e0e0e0e) & ~word) | ((slashes - 0x01010101) & ~slashes)) & 0x80808080) break;
      to.setInt32(o, word);
      i += 4;
      o += 4;
    }
    for (const stop = Math.min(end, i + 4); i < stop; i++) {
      const byte = from.getUint8(i);
      const letter = byte > 13 && byte !== BACKSLASH ? 0 : escapeLetter(byte);
      if (letter !== 0) to.setUint8(o++, BACKSLASH);
      to.setUint8(o++, letter === 0 ? byte : letter);
    }
  }
  out.length = o;
}

/** What stands behind the backslash for this byte; 0 when it stands for itself. */
function escapeLetter(byte: number): number {
  switch (byte) {
    case BACKSLASH:
      return BACKSLASH;
    case NEWLINE:
      return 0x6e;
    case 0x0d:
      return 0x72;
    case TAB:
      return 0x74;
    default:
      return 0;
  }
}
