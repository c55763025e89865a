import { formatFloat } from '../../event/float-text.ts';
import type { Column } from '../../event/table.ts';

/**
 * How Postgres's values stand in SQLite, exactly, and how their text comes back (docs/sinks.md has the table):
 *
 *     int2 int4 int8 oid   INTEGER
 *     bool                 INTEGER 0 or 1
 *     float4 float8        ANY: REAL when that gives the same text again, else TEXT ('NaN', 'Infinity', '-0')
 *     bytea                BLOB
 *     everything else      TEXT, Postgres's own text
 *
 * A domain stands as the type under it. `-0` is a text because SQLite's `IS` takes -0.0 for 0.0, and rows without a key are
 * told apart by that.
 */
export type Form = 'integer' | 'boolean' | 'float4' | 'float8' | 'bytea' | 'text';
export type StorageType = 'INTEGER' | 'ANY' | 'BLOB' | 'TEXT';
export type SqliteValue = null | number | bigint | string | Uint8Array;

export function formOf(column: Pick<Column, 'baseTypeOid'>): Form {
  switch (column.baseTypeOid) {
    case 16:
      return 'boolean';
    case 17:
      return 'bytea';
    case 20: // int8
    case 21: // int2
    case 23: // int4
    case 26: // oid
      return 'integer';
    case 700:
      return 'float4';
    case 701:
      return 'float8';
    default:
      return 'text';
  }
}

export function storageOf(form: Form): StorageType {
  switch (form) {
    case 'integer':
    case 'boolean':
      return 'INTEGER';
    case 'float4':
    case 'float8':
      return 'ANY';
    case 'bytea':
      return 'BLOB';
    case 'text':
      return 'TEXT';
  }
}

/** What is bound for the text `bytes[start, end)`. Throws a `RangeError` that says why when SQLite cannot hold it exactly. */
export function toSqlite(form: Form, bytes: Buffer, start: number, end: number): SqliteValue {
  switch (form) {
    case 'integer':
      return parseInteger(bytes, start, end);
    case 'boolean':
      if (end - start !== 1 || (bytes[start] !== 0x74 && bytes[start] !== 0x66)) throw new RangeError('a boolean that is neither t nor f');
      return bytes[start] === 0x74 ? 1 : 0;
    case 'float4':
    case 'float8': {
      const text = bytes.toString('latin1', start, end);
      const value = Number(text);
      return value !== 0 || text === '0' ? (Number.isFinite(value) && formatFloat(form, value) === text ? value : text) : text;
    }
    case 'bytea':
      return parseHex(bytes, start, end);
    case 'text':
      return parseText(bytes, start, end);
  }
}

/** Postgres's text of a stored value, the inverse of `toSqlite`. A value of another type is told as SQLite shows it. */
export function toPostgresText(form: Form, value: SqliteValue): string | null {
  if (value === null) return null;
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')}`;
  switch (form) {
    case 'boolean':
      return value === 1 || value === 1n ? 't' : value === 0 || value === 0n ? 'f' : String(value);
    case 'float4':
    case 'float8':
      return typeof value === 'number' ? formatFloat(form, value) : String(value);
    default:
      return String(value);
  }
}

function parseInteger(bytes: Buffer, start: number, end: number): number | bigint {
  const negative = bytes[start] === 0x2d;
  const from = negative ? start + 1 : start;
  if (from >= end || end - from > 19) throw new RangeError('an integer that SQLite does not have');
  let value = 0;
  for (let i = from; i < end; i++) {
    const digit = (bytes[i] as number) - 0x30;
    if (digit < 0 || digit > 9) throw new RangeError('an integer with something else than digits');
    value = value * 10 + digit;
  }
  // Fifteen digits are exact in a double; node:sqlite binds those and STRICT stores them as the integer that they are.
  if (end - from > 15) return BigInt(bytes.toString('latin1', start, end));
  return negative ? -value : value;
}

const nibbles = new Int8Array(256).fill(-1);
for (const [i, digit] of Buffer.from('0123456789abcdef').entries()) nibbles[digit] = i;

/** From the bytes: a bytea of 500 MB has a text that no string holds. */
function parseHex(bytes: Buffer, start: number, end: number): Uint8Array {
  const size = (end - start - 2) / 2;
  if (bytes[start] !== 0x5c || bytes[start + 1] !== 0x78 || !Number.isInteger(size)) throw new RangeError('a bytea that is not in hex');
  if (size > maxBytes) throw tooLong();
  const value = new Uint8Array(size);
  for (let i = 0, at = start + 2; i < size; i++, at += 2) {
    const high = nibbles[bytes[at] as number] as number;
    const low = nibbles[bytes[at + 1] as number] as number;
    if (high < 0 || low < 0) throw new RangeError('a bytea that is not in hex');
    value[i] = (high << 4) | low;
  }
  return value;
}

function parseText(bytes: Buffer, start: number, end: number): string {
  if (end - start > maxBytes) throw tooLong();
  let text: string;
  try {
    text = bytes.toString('utf8', start, end);
  } catch {
    // V8's longest string is shorter than SQLite's longest text.
    throw tooLong();
  }
  // The decoder writes U+FFFD for what is not UTF-8; the replica must not hold that in silence.
  if (text.includes('\ufffd') && !Buffer.from(text).equals(bytes.subarray(start, end))) throw new RangeError('a text that is not UTF-8');
  return text;
}

/** SQLITE_MAX_LENGTH of the build in Node. */
const maxBytes = 1_000_000_000;

function tooLong(): RangeError {
  return new RangeError('a value longer than SQLite and Node can take');
}
