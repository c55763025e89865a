import { isUtf8 } from 'node:buffer';
import { floatText } from '../../event/float-text.ts';
import type { Slice } from '../../runtime/slice.ts';
import type { ByteWriter } from '../byte-writer.ts';
import { fields, parseDate, parseTime, parseTimestamp, secondsPerDay, writeDate, writeTime, writeTimestamp } from '../temporal.ts';
import { type AvroReader, writeBigLong, writeDouble, writeFloat, writeLong, writeMicros } from './avro-bytes.ts';
import type { AvroSchema } from './avro-schema.ts';
import { readDecimal, writeDecimal } from './decimal.ts';
import { parsed, parseFloatText } from './float.ts';

/** How a column's values stand, told by its Avro type alone: whoever has the writer's schema can read them. */
export type AvroForm =
  | { readonly kind: 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' | 'string' | 'date' | 'time' | 'timestamp' | 'timestamptz' }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number };

interface Written {
  readonly type?: string;
  readonly logicalType?: string;
  readonly precision?: unknown;
  readonly scale?: unknown;
}

/** Undefined for a type that no version of this codec writes. */
export function formOf(type: AvroSchema | undefined): AvroForm | undefined {
  const { type: name, logicalType, precision, scale } = (typeof type === 'string' ? { type } : (type ?? {})) as Written;
  switch (`${name}/${logicalType ?? ''}`) {
    case 'boolean/':
    case 'int/':
    case 'long/':
    case 'float/':
    case 'double/':
    case 'bytes/':
    case 'string/':
      return { kind: name as 'string' };
    case 'string/uuid':
      return { kind: 'string' };
    case 'int/date':
      return { kind: 'date' };
    case 'long/time-micros':
      return { kind: 'time' };
    case 'long/local-timestamp-micros':
      return { kind: 'timestamp' };
    case 'long/timestamp-micros':
      return { kind: 'timestamptz' };
    case 'bytes/decimal':
      return typeof precision === 'number' && typeof scale === 'number' ? { kind: 'decimal', precision, scale } : undefined;
    default:
      return undefined;
  }
}

/** The years that every language's dates have: what lies outside is not said as a number, which many readers could not take. */
const firstDay = -719_162;
const lastDay = 2_932_896;

/**
 * Writes Postgres's text as a value of the form; false, with nothing written, when the form cannot say exactly this text
 * (`infinity`, `NaN` in a `numeric(p, s)`, a year before 1 or after 9999).
 */
export function writeAvroValue(writer: ByteWriter, form: AvroForm, text: Readonly<Slice>): boolean {
  const { bytes, start, end } = text;
  switch (form.kind) {
    case 'string':
      return writeText(writer, text);
    case 'int':
    case 'long':
      return writeWhole(writer, text);
    case 'boolean':
      if (end - start !== 1 || (bytes[start] !== 0x74 && bytes[start] !== 0x66)) return false;
      writer.byte(bytes[start] === 0x74 ? 1 : 0);
      return true;
    case 'float':
      if (!parseFloatText('float4', text)) return false;
      writeFloat(writer, parsed.value);
      return true;
    case 'double':
      if (!parseFloatText('float8', text)) return false;
      writeDouble(writer, parsed.value);
      return true;
    case 'bytes':
      return writeHex(writer, text);
    case 'decimal':
      return writeDecimal(writer, text, form.precision, form.scale);
    default:
      return writeTemporal(writer, form.kind, text);
  }
}

function writeTemporal(writer: ByteWriter, kind: 'date' | 'time' | 'timestamp' | 'timestamptz', text: Readonly<Slice>): boolean {
  switch (kind) {
    case 'date':
      if (!parseDate(text) || !isSayable(fields.days)) return false;
      writeLong(writer, fields.days);
      return true;
    case 'time':
      // 24:00:00 is no time of day anywhere else.
      if (!parseTime(text) || fields.seconds === secondsPerDay) return false;
      writeMicros(writer, fields.seconds, fields.micros);
      return true;
    case 'timestamp':
      if (!parseTimestamp(text) || !isSayable(fields.days)) return false;
      writeMicros(writer, fields.seconds, fields.micros);
      return true;
    case 'timestamptz': {
      const local = withoutUtc(text);
      if (local === undefined || !parseTimestamp(local) || !isSayable(fields.days)) return false;
      writeMicros(writer, fields.seconds, fields.micros);
      return true;
    }
  }
}

function isSayable(days: number): boolean {
  return days >= firstDay && days <= lastDay;
}

const local: Slice = { bytes: new Uint8Array(0), start: 0, end: 0 };

/** The text in front of `+00`; undefined for another offset, which the pinned time zone never gives. */
function withoutUtc({ bytes, start, end }: Readonly<Slice>): Slice | undefined {
  if (end - start < 4 || bytes[end - 3] !== 0x2b || bytes[end - 2] !== 0x30 || bytes[end - 1] !== 0x30) return undefined;
  local.bytes = bytes;
  local.start = start;
  local.end = end - 3;
  return local;
}

function writeText(writer: ByteWriter, { bytes, start, end }: Readonly<Slice>): boolean {
  if (!isText(bytes, start, end)) return false;
  writeLong(writer, end - start);
  writer.copy(bytes, start, end);
  return true;
}

/** Most texts are short and ASCII, and need no look by others. */
function isText(bytes: Uint8Array, start: number, end: number): boolean {
  let ascii = end - start <= 32;
  for (let i = start; ascii && i < end; i++) ascii = (bytes[i] as number) < 0x80;
  return ascii || isUtf8(bytes.subarray(start, end));
}

/** Only texts as Postgres writes them: no leading zero, no plus, no minus zero. */
function writeWhole(writer: ByteWriter, { bytes, start, end }: Readonly<Slice>): boolean {
  const negative = bytes[start] === 0x2d;
  const from = negative ? start + 1 : start;
  const digits = end - from;
  if (digits < 1 || digits > 19 || (bytes[from] === 0x30 && (digits > 1 || negative))) return false;
  let value = 0;
  for (let i = from; i < end; i++) {
    const digit = (bytes[i] as number) - 0x30;
    if (digit < 0 || digit > 9) return false;
    value = value * 10 + digit;
  }
  if (digits <= 15) writeLong(writer, negative ? -value : value);
  else {
    const exact = BigInt(latin(bytes, from, end));
    if (exact > (negative ? 2n ** 63n : 2n ** 63n - 1n)) return false;
    writeBigLong(writer, negative ? -exact : exact);
  }
  return true;
}

/** For the few numbers that are too long for a double. */
function latin(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

const nibbles = new Int8Array(256).fill(-1);
for (const [value, digit] of Buffer.from('0123456789abcdef').entries()) nibbles[digit] = value;
const hexDigits = Buffer.from('0123456789abcdef');

function writeHex(writer: ByteWriter, { bytes, start, end }: Readonly<Slice>): boolean {
  if (end - start < 2 || (end - start) % 2 !== 0 || bytes[start] !== 0x5c || bytes[start + 1] !== 0x78) return false;
  for (let i = start + 2; i < end; i++) if ((nibbles[bytes[i] as number] as number) < 0) return false;
  const size = (end - start - 2) / 2;
  writeLong(writer, size);
  writer.ensure(size);
  for (let i = start + 2; i < end; i += 2) writer.byte(((nibbles[bytes[i] as number] as number) << 4) | (nibbles[bytes[i + 1] as number] as number));
  return true;
}

/** Writes Postgres's text for the value that comes next, the inverse of `writeAvroValue`. Throws a `SyntaxError`. */
export function readAvroValue(writer: ByteWriter, form: AvroForm, reader: AvroReader): void {
  switch (form.kind) {
    case 'string': {
      const { bytes, start, end } = take(reader);
      if (!isText(bytes, start, end)) throw new SyntaxError('a text that is not UTF-8');
      return writer.copy(bytes, start, end);
    }
    case 'int':
    case 'long':
      return writer.ascii(String(reader.long()));
    case 'boolean': {
      const byte = reader.byte();
      if (byte > 1) throw new SyntaxError('a boolean that is neither');
      return writer.byte(byte === 1 ? 0x74 : 0x66);
    }
    case 'float':
      return writer.ascii(floatText('float4', reader.float()));
    case 'double':
      return writer.ascii(floatText('float8', reader.double()));
    case 'bytes':
      return readHex(writer, take(reader));
    case 'decimal':
      return readDecimal(writer, take(reader), form.scale);
    default:
      return readTemporal(writer, form.kind, reader.long());
  }
}

function readTemporal(writer: ByteWriter, kind: 'date' | 'time' | 'timestamp' | 'timestamptz', value: number | bigint): void {
  if (kind === 'date') {
    if (typeof value !== 'number' || !isSayable(value)) throw new SyntaxError('a date beyond the years 1 to 9999');
    return writeDate(writer, value);
  }
  const seconds = typeof value === 'number' ? Math.floor(value / 1e6) : Number(value / 1_000_000n) - (value < 0n && value % 1_000_000n !== 0n ? 1 : 0);
  const micros = typeof value === 'number' ? value - seconds * 1e6 : Number(value - BigInt(seconds) * 1_000_000n);
  if (kind === 'time') {
    if (seconds < 0 || seconds >= secondsPerDay) throw new SyntaxError('a time outside its day');
    return writeTime(writer, seconds, micros);
  }
  if (!isSayable(Math.floor(seconds / secondsPerDay))) throw new SyntaxError('a timestamp beyond the years 1 to 9999');
  writeTimestamp(writer, seconds, micros);
  if (kind === 'timestamptz') writer.ascii('+00');
}

const taken: Slice = { bytes: new Uint8Array(0), start: 0, end: 0 };

function take(reader: AvroReader): Slice {
  const size = reader.size();
  taken.bytes = reader.bytes;
  taken.start = reader.at;
  taken.end = reader.at + size;
  reader.skip(size);
  return taken;
}

function readHex(writer: ByteWriter, { bytes, start, end }: Slice): void {
  writer.ensure((end - start) * 2 + 2);
  writer.ascii('\\x');
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    writer.byte(hexDigits[byte >> 4] as number);
    writer.byte(hexDigits[byte & 15] as number);
  }
}
