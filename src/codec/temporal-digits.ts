import type { Slice } from '../runtime/slice.ts';
import type { ByteWriter } from './byte-writer.ts';
import { fields, parseDate, parseTime, parseTimestamp, secondsPerDay, writeDate, writeTime, writeTimestamp } from './temporal.ts';

type Text = Readonly<Slice>;

/**
 * Postgres's texts of `date`, `time` and `timestamp` to Debezium's numbers, as decimal digits, and back: days, milliseconds or
 * microseconds since 1970-01-01. `…ToNumber` returns false, with nothing written, for a text that is not of the usual form
 * (`infinity`).
 */
export function dateToNumber(writer: ByteWriter, text: Text): boolean {
  if (!parseDate(text)) return false;
  const { days } = fields;
  if (days < 0) writer.byte(0x2d);
  writer.decimal(Math.abs(days));
  return true;
}

export function timeToNumber(writer: ByteWriter, text: Text, digits: 3 | 6): boolean {
  // 24:00:00 is no time of day anywhere else, and readers of the number fail on it.
  return parseTime(text) && fields.seconds < secondsPerDay && writeScaled(writer, digits);
}

export function timestampToNumber(writer: ByteWriter, text: Text, digits: 3 | 6): boolean {
  return parseTimestamp(text) && writeScaled(writer, digits);
}

/** Each `…FromNumber` writes the text for a JSON number's digits; throws a `SyntaxError` for one that no text gives. */
export function dateFromNumber(writer: ByteWriter, text: Text): void {
  readScaled(text, 0);
  writeDate(writer, fields.seconds);
}

export function timeFromNumber(writer: ByteWriter, text: Text, digits: 3 | 6): void {
  readScaled(text, digits);
  if (fields.seconds < 0 || fields.seconds + fields.micros / 1e6 > secondsPerDay) throw new SyntaxError('a time outside its day');
  writeTime(writer, fields.seconds, fields.micros);
}

export function timestampFromNumber(writer: ByteWriter, text: Text, digits: 3 | 6): void {
  readScaled(text, digits);
  writeTimestamp(writer, fields.seconds, fields.micros);
}

/** Far beyond Postgres's range (294276 AD) and well inside what a double counts exactly. */
const furthest = 1e13;

/** The second in which 64 bits of microseconds end (in the year 294247): readers of numbers take none that is further from 1970, either way. */
const lastSecondInMicros = 9_223_372_036_854;

/** `seconds` and `micros` as one number of 10^-digits seconds; in two parts, because microseconds outgrow a double. */
function writeScaled(writer: ByteWriter, digits: 3 | 6): boolean {
  const { seconds, micros } = fields;
  const unit = digits === 6 ? 1_000_000 : 1000;
  const fraction = digits === 6 ? micros : micros / 1000;
  if (!Number.isInteger(fraction) || (digits === 6 && Math.abs(seconds) >= lastSecondInMicros)) return false;
  const negative = seconds < 0;
  const borrow = negative && fraction > 0;
  const whole = negative ? -seconds - (borrow ? 1 : 0) : seconds;
  const rest = borrow ? unit - fraction : fraction;
  if (negative) writer.byte(0x2d);
  if (whole > 0) writer.decimal(whole);
  writer.decimal(rest, whole > 0 ? digits : 1);
  return true;
}

/** The inverse of `writeScaled`, into `seconds` (floored) and `micros`. */
function readScaled({ bytes, start, end }: Text, digits: 0 | 3 | 6): void {
  const negative = bytes[start] === 0x2d;
  const split = end - digits;
  let whole = 0;
  let rest = 0;
  for (let i = negative ? start + 1 : start; i < end; i++) {
    if (!isDigit(bytes[i])) throw new SyntaxError('a point in time that is no whole number');
    const digit = (bytes[i] as number) - 0x30;
    if (i < split) whole = whole * 10 + digit;
    else rest = rest * 10 + digit;
  }
  if (whole > furthest) throw new SyntaxError('a point in time beyond what Postgres has');
  const unit = 10 ** digits;
  const borrow = negative && rest > 0;
  fields.seconds = negative ? -whole - (borrow ? 1 : 0) : whole;
  fields.micros = (borrow ? unit - rest : rest) * (digits === 3 ? 1000 : 1);
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
