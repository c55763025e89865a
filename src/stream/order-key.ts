import { parseDecimal } from './decimal.ts';

/**
 * Bytes that compare as the values do, so that an index of the state keeps them in order. Within one kind: numbers and bigints
 * by size (an integer equal to a double has equal bytes only within its own kind), decimal texts when `numeric` is asked
 * for, other texts by code point, false before true, null before all; NaN is above every number, as in Postgres.
 */
export function orderKey(value: unknown, numeric = false): Uint8Array {
  switch (typeof value) {
    case 'number':
      return tagged(2, doubleBytes(value));
    case 'bigint':
      return tagged(3, decimalBytes(value < 0n, (value < 0n ? -value : value).toString(), 0));
    case 'boolean':
      return Uint8Array.of(1, value ? 1 : 0);
    case 'string':
      return numeric ? tagged(3, numericBytes(value)) : tagged(4, Buffer.from(value));
    case 'object':
      if (value === null) return Uint8Array.of(0);
      if (value instanceof Date) return tagged(2, doubleBytes(value.getTime()));
      if (Array.isArray(value)) return arrayBytes(value, numeric);
      break;
    default:
  }
  throw new TypeError(`a ${typeof value} has no order: give a number, bigint, text, boolean, Date, or an array of those`);
}

function tagged(tag: number, bytes: Uint8Array): Uint8Array {
  const all = new Uint8Array(bytes.length + 1);
  all[0] = tag;
  all.set(bytes, 1);
  return all;
}

/** IEEE's order made bytes' order: positive numbers get their sign bit set, negative ones all bits turned. */
function doubleBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setFloat64(0, value === 0 ? 0 : value);
  if (Number.isNaN(value)) return bytes.fill(0xff);
  const negative = (bytes[0] as number) >= 0x80;
  for (let i = 0; i < 8; i++) bytes[i] = negative ? ~(bytes[i] as number) & 0xff : i === 0 ? (bytes[0] as number) | 0x80 : (bytes[i] as number);
  return bytes;
}

function numericBytes(text: string): Uint8Array {
  if (text === 'NaN') return Uint8Array.of(0xff);
  if (text === 'Infinity') return Uint8Array.of(0xfe);
  if (text === '-Infinity') return Uint8Array.of(0x00);
  const decimal = parseDecimal(text);
  if (decimal === null) throw new TypeError('a text that is no number was to be ordered as one');
  const { unscaled, scale } = decimal;
  return decimalBytes(unscaled < 0n, (unscaled < 0n ? -unscaled : unscaled).toString(), scale);
}

/** Sign, then the exponent of the first digit, then the digits without trailing zeros; all turned for negative values. */
function decimalBytes(negative: boolean, digits: string, scale: number): Uint8Array {
  if (/^0*$/.test(digits)) return Uint8Array.of(0x80);
  const trimmed = digits.replace(/0+$/, '');
  const exponent = digits.length - scale;
  const bytes = new Uint8Array(1 + 4 + trimmed.length + 1);
  new DataView(bytes.buffer).setUint32(1, exponent + 0x8000_0000);
  for (let i = 0; i < trimmed.length; i++) bytes[5 + i] = trimmed.charCodeAt(i);
  // The terminator makes 1 come before 12 and, turned, -12 before -1.
  bytes[bytes.length - 1] = 0;
  if (negative) for (let i = 1; i < bytes.length; i++) bytes[i] = ~(bytes[i] as number) & 0xff;
  bytes[0] = negative ? 0x40 : 0xc0;
  return bytes;
}

/** Items one after the other; zero bytes inside an item are escaped, so that a shorter one comes first. */
function arrayBytes(items: readonly unknown[], numeric: boolean): Uint8Array {
  const out: number[] = [5];
  for (const item of items) {
    for (const byte of orderKey(item, numeric)) {
      out.push(byte);
      if (byte === 0) out.push(0xff);
    }
    out.push(0, 0);
  }
  return Uint8Array.from(out);
}
