import { KIND_ABSENT, KIND_BINARY, KIND_NULL, TupleReader } from '../../event/tuple.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { OutBuffer } from './out-buffer.ts';

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const reader = new TupleReader();

/**
 * Appends one row in COPY's text format ("COPY", "Text Format" in the PostgreSQL manual): a tuple's values are Postgres's
 * own text already, so that escaping the four bytes that the format minds is the only pass over them. NULL and absent
 * columns both become `\N`: who writes absent columns never reads them back.
 *
 * `leftOut[i]` not 0 leaves the i-th column out. `first`, where there is one, is a number in a column of its own in front.
 */
export function appendCopyRow(out: OutBuffer, bytes: Uint8Array, at: number, end: number, row: CopyRow): void {
  out.reserve(roomFor(bytes, at, end));
  const to = out.bytes;
  let o = out.length;
  if (row.first !== undefined) {
    o += to.write(String(row.first), o, 'latin1');
    to[o++] = TAB;
  }
  const { leftOut } = row;
  reader.reset(bytes, at);
  while (reader.next()) {
    if (leftOut !== null && leftOut[reader.index] !== 0) continue;
    const kind = reader.kind;
    if (kind === KIND_NULL || kind === KIND_ABSENT) {
      to[o++] = BACKSLASH;
      to[o++] = 0x4e;
    } else {
      if (kind === KIND_BINARY) throw new TailraceError('internal', 'a tuple holds a binary value, which no sink was promised');
      o = escapeInto(to, o, bytes, reader.start, reader.end);
    }
    to[o++] = TAB;
  }
  // The last separator becomes the end of the row. A table without columns has rows too: an empty line.
  if (o > out.length) o--;
  to[o++] = NEWLINE;
  out.length = o;
}

/** At most: every byte could be escaped, and a NULL takes two bytes and a separator where the tuple has one. */
function roomFor(bytes: Uint8Array, at: number, end: number): number {
  const size = end - at;
  if (size < 1024 * 1024) return size * 3 + 16;
  // Three times a huge row would be memory for nothing: count.
  let escaped = 0;
  for (let i = at; i < end; i++) if ((bytes[i] as number) <= 13 || bytes[i] === BACKSLASH || bytes[i] === KIND_NULL) escaped++;
  return size + escaped * 2 + 16;
}

export interface CopyRow {
  readonly leftOut: Uint8Array | null;
  readonly first: number | undefined;
}

function escapeInto(to: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): number {
  let o = at;
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
  return o;
}
