/**
 * A row image as Postgres's logical replication protocol sends it ("TupleData" in the PostgreSQL manual, "Logical
 * Replication Message Formats"), and as Tailrace carries it from the socket to the replica:
 *
 *     int16  number of columns
 *     per column:  byte kind   'n' NULL · 'u' unchanged TOAST, the value is absent · 't' text · 'b' binary
 *                  for 't' and 'b': int32 length, then that many bytes
 *
 * Integers are big-endian. Text is in UTF-8 and is Postgres's exact output form of the value. *Absent* is neither NULL
 * nor a value: Postgres did not send it, and whoever needs it takes it from an older image.
 */
export const KIND_NULL = 0x6e;
export const KIND_ABSENT = 0x75;
export const KIND_TEXT = 0x74;
export const KIND_BINARY = 0x62;

/** Walks the columns of one tuple without allocating; reuse one reader for many tuples. */
export class TupleReader {
  bytes: Uint8Array = empty;
  /** Number of columns in the tuple. */
  columns = 0;
  /** Index of the current column, -1 before the first `next()`. */
  index = -1;
  /** Kind byte of the current column. */
  kind = 0;
  /** The value of the current column is `bytes[start, end)`; empty for NULL and absent. */
  start = 0;
  end = 0;

  /** Points the reader at the tuple that begins at `at`. */
  reset(bytes: Uint8Array, at: number): this {
    this.bytes = bytes;
    this.columns = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    this.index = -1;
    this.start = this.end = at + 2;
    return this;
  }

  /** Moves to the next column; false behind the last one, where `end` is the end of the tuple. */
  next(): boolean {
    if (this.index + 1 >= this.columns) return false;
    this.index++;
    const { bytes } = this;
    let at = this.end;
    this.kind = bytes[at++] as number;
    if (this.kind === KIND_TEXT || this.kind === KIND_BINARY) {
      this.start = at + 4;
      this.end = this.start + readUint32(bytes, at);
      // A length that points outside the buffer is a decoder's or a disk's fault; stop before anyone reads past it.
      if (this.end > bytes.length) throw new RangeError(`tuple column ${this.index} ends outside its buffer`);
    } else {
      this.start = this.end = at;
    }
    return true;
  }
}

const empty = new Uint8Array(0);
const scanner = new TupleReader();

/** Offset just behind the tuple that begins at `at`. */
export function tupleEnd(bytes: Uint8Array, at: number): number {
  scanner.reset(bytes, at);
  while (scanner.next());
  return scanner.end;
}

/** Whether a column of the tuple is absent (unchanged TOAST). */
export function isPartial(bytes: Uint8Array, at: number): boolean {
  scanner.reset(bytes, at);
  while (scanner.next()) if (scanner.kind === KIND_ABSENT) return true;
  return false;
}

/** The tuple's values as text, NULL as `null`, absent as `undefined`: for messages and tests, not for the hot path. */
export function tupleTexts(bytes: Uint8Array, at: number): (string | null | undefined)[] {
  const reader = new TupleReader().reset(bytes, at);
  const texts: (string | null | undefined)[] = [];
  while (reader.next()) {
    if (reader.kind === KIND_NULL) texts.push(null);
    else if (reader.kind === KIND_ABSENT) texts.push(undefined);
    else texts.push(decoder.decode(bytes.subarray(reader.start, reader.end)));
  }
  return texts;
}

/** Builds a tuple from texts, the inverse of `tupleTexts`. */
export function tupleOf(texts: readonly (string | null | undefined)[]): Uint8Array {
  const values = texts.map((text) => (typeof text === 'string' ? encoder.encode(text) : text));
  const bytes = new Uint8Array(values.reduce((size, value) => size + 1 + (value ? 4 + value.length : 0), 2));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, values.length);
  let at = 2;
  for (const value of values) {
    bytes[at++] = value === null ? KIND_NULL : value === undefined ? KIND_ABSENT : KIND_TEXT;
    if (!value) continue;
    view.setUint32(at, value.length);
    bytes.set(value, at + 4);
    at += 4 + value.length;
  }
  return bytes;
}

// A text may begin with U+FEFF, which a decoder else takes for a mark of the encoding and drops.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) * 0x1000000 +
    (((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
  );
}

/**
 * Lays `patch` over `base`: each column that is absent in the patch is taken from the base, everything else from the patch.
 * Both have the same columns. The result is a tuple of its own.
 */
export function overlay(base: Uint8Array, baseAt: number, patch: Uint8Array, patchAt: number): Uint8Array {
  const under = new TupleReader().reset(base, baseAt);
  const over = new TupleReader().reset(patch, patchAt);
  const pieces: Uint8Array[] = [patch.subarray(patchAt, patchAt + 2)];
  let at = patchAt + 2;
  let underAt = baseAt + 2;
  while (over.next() && under.next()) {
    pieces.push(over.kind === KIND_ABSENT ? base.subarray(underAt, under.end) : patch.subarray(at, over.end));
    at = over.end;
    underAt = under.end;
  }
  const result = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let to = 0;
  for (const piece of pieces) {
    result.set(piece, to);
    to += piece.length;
  }
  return result;
}
