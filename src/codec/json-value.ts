import type { Column } from '../event/table.ts';
import type { Slice } from '../runtime/slice.ts';
import type { ByteWriter } from './byte-writer.ts';
import { base64ToHex, hexToBase64 } from './base64.ts';
import type { JsonReader } from './json-reader.ts';
import { isJsonNumber, literals, unescapeJson, writeJsonString } from './json-text.ts';
import { numericLimits } from './numeric-limits.ts';
import { dateFromNumber, dateToNumber, timeFromNumber, timestampFromNumber, timestampToNumber, timeToNumber } from './temporal-digits.ts';

/**
 * How a column's values stand in the envelope (docs/formats.md has the table). Each form but `text` carries a value that it
 * cannot say exactly (`NaN`, `infinity`) as a JSON string with Postgres's text; being a string tells it apart.
 */
export type JsonForm = 'text' | 'number' | 'boolean' | 'base64' | 'zoned' | 'date' | 'time' | 'time-ms' | 'timestamp' | 'timestamp-ms';

/** The form that a column takes, by the type under its domains. */
export function jsonFormOf(column: Column): JsonForm {
  // Debezium's time.precision.mode=adaptive: milliseconds where the type has no more than those.
  const millis = column.typmod >= 0 && column.typmod <= 3;
  switch (column.baseTypeOid) {
    case 16: // bool
      return 'boolean';
    case 17: // bytea
      return 'base64';
    case 20: // int8
    case 21: // int2
    case 23: // int4
    case 26: // oid
    case 700: // float4
    case 701: // float8
      return 'number';
    case 1082:
      return 'date';
    case 1083:
      return millis ? 'time-ms' : 'time';
    case 1114:
      return millis ? 'timestamp-ms' : 'timestamp';
    case 1184: // timestamptz
      return 'zoned';
    default:
      return 'text';
  }
}

/**
 * The forms of records that carry schemas: a `numeric(p, s)` is a number too, because Connect's decimal stands as one, and never
 * as a string of its digits.
 */
export function typedFormOf(column: Column): JsonForm {
  return column.baseTypeOid === 1700 && numericLimits(column.typmod) !== undefined ? 'number' : jsonFormOf(column);
}

/** Writes Postgres's text as a JSON value; false when the form can say neither it nor tell it apart. */
export function writeJsonValue(writer: ByteWriter, form: JsonForm, text: Readonly<Slice>): boolean {
  const { bytes, start, end } = text;
  switch (form) {
    case 'text':
      writeJsonString(writer, bytes, start, end);
      return true;
    case 'number':
      if (isJsonNumber(bytes, start, end)) writer.copy(bytes, start, end);
      else writePlain(writer, text);
      return true;
    case 'boolean':
      if (end - start === 1 && bytes[start] === 0x74) writer.append(literals.true);
      else if (end - start === 1 && bytes[start] === 0x66) writer.append(literals.false);
      else writePlain(writer, text);
      return true;
    case 'base64': {
      writer.byte(0x22);
      const written = hexToBase64(writer, bytes, start, end);
      writer.byte(0x22);
      return written;
    }
    case 'zoned':
      return writeZoned(writer, text);
    default:
      if (!writeTemporal(writer, form, text)) writePlain(writer, text);
      return true;
  }
}

/** Postgres's text in the place of what the form has. */
function writePlain(writer: ByteWriter, { bytes, start, end }: Readonly<Slice>): void {
  writer.odd++;
  writeJsonString(writer, bytes, start, end);
}

type TemporalForm = 'date' | 'time' | 'time-ms' | 'timestamp' | 'timestamp-ms';

function writeTemporal(writer: ByteWriter, form: TemporalForm, text: Readonly<Slice>): boolean {
  switch (form) {
    case 'date':
      return dateToNumber(writer, text);
    case 'time':
      return timeToNumber(writer, text, 6);
    case 'time-ms':
      return timeToNumber(writer, text, 3);
    case 'timestamp':
      return timestampToNumber(writer, text, 6);
    case 'timestamp-ms':
      return timestampToNumber(writer, text, 3);
  }
}

const zulu = new TextEncoder().encode('Z"');

/** `2024-01-31 10:00:00.5+00` becomes `2024-01-31T10:00:00.5Z`; a text of any other form stays as it is. */
function writeZoned(writer: ByteWriter, { bytes, start, end }: Readonly<Slice>): boolean {
  const utc = bytes[end - 3] === 0x2b && bytes[end - 2] === 0x30 && bytes[end - 1] === 0x30;
  if (end - start >= 22 && utc && bytes[start + 4] === 0x2d && bytes[start + 10] === 0x20) {
    const at = writer.length;
    writeJsonString(writer, bytes, start, end);
    // With anything escaped in it, it is of another form.
    if (writer.length !== at + end - start + 2) {
      writer.odd++;
      return true;
    }
    writer.bytes[at + 11] = 0x54;
    writer.length -= 4;
    writer.append(zulu);
    return true;
  }
  if (isZoned(bytes, start, end)) return false;
  writePlain(writer, { bytes, start, end });
  return true;
}

function isZoned(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= 20 && bytes[start + 4] === 0x2d && bytes[start + 10] === 0x54 && bytes[end - 1] === 0x5a;
}

/** Writes Postgres's text for the reader's token, the inverse of `writeJsonValue`. Throws a `SyntaxError`. */
export function readJsonValue(writer: ByteWriter, form: JsonForm, token: JsonReader): void {
  const { bytes, start, end } = token;
  switch (token.type) {
    case 'number':
      return readNumber(writer, form, token);
    case 'true':
    case 'false':
      if (form !== 'boolean') break;
      return writer.byte(token.type === 'true' ? 0x74 : 0x66);
    case 'string':
      if (form === 'base64') return base64ToHex(writer, bytes, start, end);
      if (form !== 'zoned' || !isZoned(bytes, start, end)) return unescapeJson(writer, bytes, start, end);
      writer.copy(bytes, start, start + 10);
      writer.byte(0x20);
      writer.copy(bytes, start + 11, end - 1);
      return writer.ascii('+00');
    case 'null':
      break;
  }
  throw new SyntaxError(`${token.type} where the column's type has none`);
}

function readNumber(writer: ByteWriter, form: JsonForm, token: JsonReader): void {
  switch (form) {
    case 'number':
      return writer.copy(token.bytes, token.start, token.end);
    case 'date':
      return dateFromNumber(writer, token);
    case 'time':
      return timeFromNumber(writer, token, 6);
    case 'time-ms':
      return timeFromNumber(writer, token, 3);
    case 'timestamp':
      return timestampFromNumber(writer, token, 6);
    case 'timestamp-ms':
      return timestampFromNumber(writer, token, 3);
    default:
      throw new SyntaxError(`a number where the column's type has none`);
  }
}
