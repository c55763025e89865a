import type { Slice } from '../runtime/slice.ts';
import type { ByteWriter } from './byte-writer.ts';

type Text = Readonly<Slice>;

/**
 * Postgres's ISO texts of `date`, `time` and `timestamp` to numbers and back, exactly. What was parsed last stands here, so that
 * no object is made a value: days since 1970-01-01; seconds since then, or since midnight, rounded down; and microseconds on top.
 */
export const fields = { days: 0, seconds: 0, micros: 0 };

export const secondsPerDay = 86_400;

/** Each `parse…` returns false for a text that is not of the usual form: `infinity`, or one that would not come back as it was. */
export function parseDate({ bytes, start, end }: Text): boolean {
  const era = eraStart(bytes, start, end);
  return parseDay(bytes, start, era, era < end) && at === era;
}

export function parseTime({ bytes, start, end }: Text): boolean {
  return parseClock(bytes, start, end) && at === end;
}

export function parseTimestamp({ bytes, start, end }: Text): boolean {
  const era = eraStart(bytes, start, end);
  if (!parseDay(bytes, start, era, era < end) || bytes[at] !== 0x20) return false;
  if (!parseClock(bytes, at + 1, era) || at !== era || fields.seconds >= secondsPerDay) return false;
  fields.seconds += fields.days * secondsPerDay;
  return true;
}

export function writeDate(writer: ByteWriter, days: number): void {
  writeDay(writer, days);
  if (civilYear <= 0) writer.ascii(' BC');
}

export function writeTime(writer: ByteWriter, seconds: number, micros: number): void {
  writeTwo(writer, Math.floor(seconds / 3600));
  writer.byte(0x3a);
  writeTwo(writer, Math.floor(seconds / 60) % 60);
  writer.byte(0x3a);
  writeTwo(writer, seconds % 60);
  if (micros > 0) writer.ascii(`.${String(micros).padStart(6, '0').replace(/0+$/, '')}`);
}

export function writeTimestamp(writer: ByteWriter, seconds: number, micros: number): void {
  const days = Math.floor(seconds / secondsPerDay);
  writeDay(writer, days);
  writer.byte(0x20);
  writeTime(writer, seconds - days * secondsPerDay, micros);
  if (civilYear <= 0) writer.ascii(' BC');
}

/** Where the parsing stands. */
let at = 0;

/** Where ` BC` begins, or the end. */
function eraStart(bytes: Uint8Array, start: number, end: number): number {
  const at3 = end - 3;
  return at3 > start && bytes[at3] === 0x20 && bytes[at3 + 1] === 0x42 && bytes[at3 + 2] === 0x43 ? at3 : end;
}

function parseDay(bytes: Uint8Array, start: number, end: number, bc: boolean): boolean {
  at = start;
  let year = 0;
  while (at < end && at < start + 7 && isDigit(bytes[at])) year = year * 10 + ((bytes[at++] as number) - 0x30);
  const width = at - start;
  if (width < 4 || (width > 4 && bytes[start] === 0x30) || year === 0 || bytes[at] !== 0x2d) return false;
  const month = twoDigits(bytes, at + 1, end);
  if (month < 1 || month > 12 || bytes[at + 3] !== 0x2d) return false;
  const day = twoDigits(bytes, at + 4, end);
  const proleptic = bc ? 1 - year : year;
  if (day < 1 || day > daysInMonth(proleptic, month)) return false;
  at += 6;
  fields.days = daysFromCivil(proleptic, month, day);
  return true;
}

function parseClock(bytes: Uint8Array, start: number, end: number): boolean {
  const hour = twoDigits(bytes, start, end);
  const minute = twoDigits(bytes, start + 3, end);
  const second = twoDigits(bytes, start + 6, end);
  if (hour < 0 || minute < 0 || second < 0 || minute > 59 || second > 59) return false;
  if (bytes[start + 2] !== 0x3a || bytes[start + 5] !== 0x3a) return false;
  at = start + 8;
  let micros = 0;
  if (at < end && bytes[at] === 0x2e) {
    let scale = 100_000;
    for (at++; at < end && isDigit(bytes[at]); at++) {
      micros += ((bytes[at] as number) - 0x30) * scale;
      scale /= 10;
    }
    // Postgres writes no trailing zeros and at most six digits; anything else would not come back as it was.
    if (scale < 0.1 || bytes[at - 1] === 0x30 || bytes[at - 1] === 0x2e) return false;
  }
  const seconds = hour * 3600 + minute * 60 + second;
  fields.seconds = seconds;
  fields.micros = micros;
  return seconds < secondsPerDay || (seconds === secondsPerDay && micros === 0);
}

function twoDigits(bytes: Uint8Array, from: number, end: number): number {
  if (from + 2 > end || !isDigit(bytes[from]) || !isDigit(bytes[from + 1])) return -1;
  return ((bytes[from] as number) - 0x30) * 10 + ((bytes[from + 1] as number) - 0x30);
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

let civilYear = 0;

function writeDay(writer: ByteWriter, day: number): void {
  // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
  const shifted = day + 719_468;
  const era = Math.floor(shifted / 146_097);
  const ofEra = shifted - era * 146_097;
  const yearOfEra = Math.floor((ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365);
  const ofYear = ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * ofYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  civilYear = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  writer.ascii(String(civilYear <= 0 ? 1 - civilYear : civilYear).padStart(4, '0'));
  writer.byte(0x2d);
  writeTwo(writer, month);
  writer.byte(0x2d);
  writeTwo(writer, ofYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1);
}

function writeTwo(writer: ByteWriter, value: number): void {
  writer.byte(0x30 + Math.floor(value / 10));
  writer.byte(0x30 + (value % 10));
}

function daysInMonth(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}

/** Days since 1970-01-01 in the proleptic Gregorian calendar that Postgres and Debezium both use (days_from_civil). */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468;
}
