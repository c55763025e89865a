import { KIND_ABSENT, KIND_BINARY, KIND_NULL, TupleReader } from '../../event/tuple.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { OutBuffer } from './out-buffer.ts';

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const reader = new TupleReader();

/**
 * Rows in COPY's text format ("COPY", "Text Format" in the PostgreSQL manual): a tuple's values are Postgres's own text
 * already, so that escaping the four bytes that the format minds is the only pass over them. NULL and absent columns both
 * become `\N`: who writes absent columns never reads them back.
 */
export class CopyText {
  readonly #leftOut: Uint8Array | null;
  readonly #first: string;

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
        escapeInto(out, bytes, reader.start, reader.end);
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

/** Room is reserved. */
function escapeInto(out: OutBuffer, bytes: Uint8Array, start: number, end: number): void {
  const to = out.bytes;
  let o = out.length;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte > 13 && byte !== BACKSLASH) {
      to[o++] = byte;
      continue;
    }
    switch (byte) {
      case BACKSLASH:
        to[o++] = BACKSLASH;
        to[o++] = BACKSLASH;
        break;
      case NEWLINE:
        to[o++] = BACKSLASH;
        to[o++] = 0x6e;
        break;
      case 0x0d:
        to[o++] = BACKSLASH;
        to[o++] = 0x72;
        break;
      case TAB:
        to[o++] = BACKSLASH;
        to[o++] = 0x74;
        break;
      default:
        to[o++] = byte;
    }
  }
  out.length = o;
}
