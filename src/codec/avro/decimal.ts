import type { Slice } from '../../runtime/slice.ts';
import type { ByteWriter } from '../byte-writer.ts';
import { writeLong } from './avro-bytes.ts';

/** Digits that a double counts exactly. */
const plainDigits = 15;
const POINT = 0x2e;
const MINUS = 0x2d;
const ZERO = 0x30;

/**
 * Postgres's text of a `numeric(p, s)`, which always has `scale` digits behind the point, as Avro's decimal: the unscaled whole
 * number in two's complement, most significant byte first, in as few bytes as hold it. False, with nothing written, for any
 * other text (`NaN`).
 */
export function writeDecimal(writer: ByteWriter, text: Readonly<Slice>, precision: number, scale: number): boolean {
  const { bytes, end } = text;
  const negative = bytes[text.start] === MINUS;
  const start = negative ? text.start + 1 : text.start;
  const whole = scale === 0 ? end : end - scale - 1;
  const digits = end - start - (scale === 0 ? 0 : 1);
  if (whole <= start || (whole - start > 1 && bytes[start] === ZERO) || (scale > 0 && bytes[whole] !== POINT)) return false;
  let value = 0;
  let significant = 0;
  for (let i = start; i < end; i++) {
    if (i === whole) continue;
    const digit = (bytes[i] as number) - ZERO;
    if (digit < 0 || digit > 9) return false;
    if (significant > 0 || digit > 0) significant++;
    value = value * 10 + digit;
  }
  if (significant > precision || (negative && significant === 0)) return false;
  if (digits <= plainDigits) writeNumber(writer, negative ? -value : value);
  else writeBig(writer, unscaled(text, whole));
  return true;
}

function unscaled({ bytes, start, end }: Readonly<Slice>, whole: number): bigint {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
  // BigInt() takes a sign from numbers only.
  const negative = bytes[start] === MINUS;
  const value = BigInt(text.slice(negative ? 1 : 0, whole - start) + text.slice(whole - start + 1));
  return negative ? -value : value;
}

function writeNumber(writer: ByteWriter, value: number): void {
  let size = 1;
  for (let limit = 128; value >= limit || value < -limit; limit *= 256) size++;
  writeLong(writer, size);
  for (let i = size - 1; i >= 0; i--) writer.byte(Math.floor(value / 256 ** i) & 255);
}

export function writeBig(writer: ByteWriter, value: bigint): void {
  let size = 1;
  while (BigInt.asIntN(size * 8, value) !== value) size++;
  writeLong(writer, size);
  const hex = BigInt.asUintN(size * 8, value).toString(16).padStart(size * 2, '0');
  writer.ensure(size);
  writer.length += writer.bytes.write(hex, writer.length, 'hex');
}

/** The inverse: writes the text. */
export function readDecimal(writer: ByteWriter, { bytes, start, end }: Readonly<Slice>, scale: number): void {
  if (end === start) throw new SyntaxError('a decimal without bytes');
  const value = end - start <= 6 ? readNumber(bytes, start, end) : readBig(bytes, start, end);
  const digits = (value < 0 ? -value : value).toString().padStart(scale + 1, '0');
  if (value < 0) writer.byte(MINUS);
  writer.ascii(digits.slice(0, digits.length - scale));
  if (scale === 0) return;
  writer.byte(POINT);
  writer.ascii(digits.slice(-scale));
}

/** Six bytes at most, which a double counts exactly. */
function readNumber(bytes: Uint8Array, start: number, end: number): number {
  let value = (bytes[start] as number) - ((bytes[start] as number) >= 0x80 ? 256 : 0);
  for (let i = start + 1; i < end; i++) value = value * 256 + (bytes[i] as number);
  return value;
}

function readBig(bytes: Uint8Array, start: number, end: number): bigint {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('hex');
  return BigInt.asIntN((end - start) * 8, BigInt(`0x${hex}`));
}
