import type { MessageChange, OldKind, RowChange, TruncateChange } from '../../event/change.ts';
import { type TableSchema, tableName } from '../../event/table.ts';
import { KIND_BINARY, KIND_TEXT, tupleEnd } from '../../event/tuple.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Slice } from '../../runtime/slice.ts';
import { ByteWriter } from '../byte-writer.ts';
import type { Codec, Encoded, EncodeContext, EncodedRow } from '../codec.ts';
import { KeyColumns } from '../key-columns.ts';
import { checkTuple } from './check-tuple.ts';

const LETTER_KEY = 0x4b; // K
const LETTER_OLD = 0x4f; // O
const LETTER_NEW = 0x4e; // N

/**
 * Postgres's own tuples (event/tuple.ts), as they came off the socket:
 *
 *     c, r                  tuple
 *     u, no old image       tuple
 *     u, with an old image  'K' (the old key) or 'O' (the old row), tuple, 'N', tuple
 *     d, and an old half    'K' or 'O', tuple
 *     t                     one byte of flags: 1 cascade, 2 restart identity
 *     m                     int32 length of the prefix, prefix, content
 *     key                   per key column: kind, and for a value int32 length and bytes; null for a table without a key
 *
 * With an old image these are pgoutput's own bytes, so that every value is a slice of what was read and nothing is copied.
 * A tuple begins with its number of columns, at most 1,600, so its first byte (0 to 6) is never one of the letters.
 */
export class TupleCodec implements Codec {
  readonly name = 'tuple';
  readonly id = 1;
  readonly tombstones = false;
  readonly #key = new ByteWriter();
  readonly #value = new ByteWriter();
  readonly #columns = new KeyColumns();

  encodeRow(change: RowChange, _table: TableSchema, _context: EncodeContext, out: Encoded): void {
    out.extra.start = out.extra.end = -1;
    if (change.op === 'd') {
      this.#encodeKey(change, 'old', out.key);
      this.#encodeOld(change, out.value);
      return;
    }
    this.#encodeKey(change, 'new', out.key);
    if (change.oldAt < 0) point(out.value, change.bytes, change.newAt, change.end);
    else this.#encodeBoth(change, out.value);
  }

  encodeOldHalf(change: RowChange, _table: TableSchema, _context: EncodeContext, out: Encoded): void {
    out.extra.start = out.extra.end = -1;
    this.#encodeKey(change, 'old', out.key);
    this.#encodeOld(change, out.value);
  }

  encodeTruncate(change: TruncateChange<TableSchema>, _table: TableSchema, _context: EncodeContext, out: Encoded): void {
    out.extra.start = out.extra.end = out.key.start = out.key.end = -1;
    const writer = this.#value;
    writer.reset();
    writer.byte((change.cascade ? 1 : 0) | (change.restartIdentity ? 2 : 0));
    point(out.value, writer.bytes, 0, writer.length);
  }

  encodeMessage(change: MessageChange, _table: TableSchema, _context: EncodeContext, out: Encoded): void {
    out.extra.start = out.extra.end = out.key.start = out.key.end = -1;
    const writer = this.#value;
    writer.reset();
    writer.uint32(Buffer.byteLength(change.prefix));
    writer.utf8(change.prefix);
    writer.append(change.content);
    point(out.value, writer.bytes, 0, writer.length);
  }

  decodeRow(record: EncodedRow, table: TableSchema): RowChange<TableSchema> {
    const { op, ordinal } = record;
    const { bytes, start, end } = record.value;
    const columns = table.columns.length;
    if (start >= 0 && start < end) {
      const letter = bytes[start];
      if (letter !== LETTER_KEY && letter !== LETTER_OLD) {
        const fits = op !== 'd' && checkTuple(bytes, start, end, columns) === end;
        if (fits) return { op, table, ordinal, bytes, oldKind: 'none', oldAt: -1, newAt: start, end };
      } else {
        const oldKind: OldKind = letter === LETTER_KEY ? 'key' : 'full';
        const oldAt = start + 1;
        const oldEnd = checkTuple(bytes, oldAt, end, columns);
        if (op === 'd' && oldEnd === end) return { op, table, ordinal, bytes, oldKind, oldAt, newAt: -1, end };
        const newAt = oldEnd + 1;
        if (op === 'u' && oldEnd > 0 && bytes[oldEnd] === LETTER_NEW && checkTuple(bytes, newAt, end, columns) === end)
          return { op, table, ordinal, bytes, oldKind, oldAt, newAt, end };
      }
    }
    throw new TailraceError('log-damaged', `a record of ${tableName(table)} (op ${op}, ordinal ${ordinal}) does not hold the tuples of its schema`);
  }

  decodeMessage({ bytes, start, end }: Slice, ordinal: number): MessageChange {
    const prefixAt = start + 4;
    const contentAt = start < 0 || prefixAt > end ? Infinity : prefixAt + new DataView(bytes.buffer, bytes.byteOffset + start).getUint32(0);
    if (contentAt > end) throw new TailraceError('log-damaged', `a logical message (ordinal ${ordinal}) is not whole`);
    return { op: 'm', prefix: Buffer.from(bytes.subarray(prefixAt, contentAt)).toString(), content: bytes.subarray(contentAt, end), ordinal };
  }

  #encodeKey(change: RowChange, half: 'old' | 'new', out: Slice): void {
    const { key } = change.table;
    if (key.length === 0) {
      out.start = out.end = -1;
      return;
    }
    const writer = this.#key;
    writer.reset();
    this.#columns.reset(change);
    for (const index of key) {
      const image = this.#columns.find(index, half);
      const kind = image.kinds[index] as number;
      writer.byte(kind);
      if (kind !== KIND_TEXT && kind !== KIND_BINARY) continue;
      const start = image.starts[index] as number;
      const end = image.ends[index] as number;
      writer.uint32(end - start);
      writer.copy(image.bytes, start, end);
    }
    point(out, writer.bytes, 0, writer.length);
  }

  #encodeOld(change: RowChange, out: Slice): void {
    const { bytes, oldAt } = change;
    const end = change.op === 'd' ? change.end : tupleEnd(bytes, oldAt);
    if (bytes[oldAt - 1] === letterOf(change)) {
      point(out, bytes, oldAt - 1, end);
      return;
    }
    const writer = this.#value;
    writer.reset();
    writer.byte(letterOf(change));
    writer.copy(bytes, oldAt, end);
    point(out, writer.bytes, 0, writer.length);
  }

  #encodeBoth(change: RowChange, out: Slice): void {
    const { bytes, oldAt, newAt } = change;
    const oldEnd = tupleEnd(bytes, oldAt);
    if (bytes[oldAt - 1] === letterOf(change) && oldEnd === newAt - 1 && bytes[oldEnd] === LETTER_NEW) {
      point(out, bytes, oldAt - 1, change.end);
      return;
    }
    const writer = this.#value;
    writer.reset();
    writer.byte(letterOf(change));
    writer.copy(bytes, oldAt, oldEnd);
    writer.byte(LETTER_NEW);
    writer.copy(bytes, newAt, tupleEnd(bytes, newAt));
    point(out, writer.bytes, 0, writer.length);
  }
}

function letterOf(change: RowChange): number {
  return change.oldKind === 'key' ? LETTER_KEY : LETTER_OLD;
}

function point(out: Slice, bytes: Uint8Array, start: number, end: number): void {
  out.bytes = bytes;
  out.start = start;
  out.end = end;
}
