import { floatText } from '../../event/float-text.ts';
import type { Slice } from '../../runtime/slice.ts';

/** The number that was parsed last; module-wide, so that no object is made a value. */
export const parsed = { value: 0 };

const powers = Array.from({ length: 16 }, (_, i) => 10 ** i);

/**
 * Postgres's text of a `real` or `double precision` as the number that it names; false when the number would not give this text
 * back. Most texts are short, and take no string: fifteen digits (six for `real`) always come back as they were.
 */
export function parseFloatText(form: 'float4' | 'float8', text: Readonly<Slice>): boolean {
  if (parseShort(form, text)) return true;
  const { bytes, start, end } = text;
  const written = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
  const value = Number(written);
  parsed.value = form === 'float4' ? Math.fround(value) : value;
  return floatText(form, parsed.value) === written;
}

/** Digits with a point at most, of the form in which Postgres writes them: one division, which is exact to the last bit. */
function parseShort(form: 'float4' | 'float8', { bytes, start, end }: Readonly<Slice>): boolean {
  const negative = bytes[start] === 0x2d;
  const from = negative ? start + 1 : start;
  const most = form === 'float4' ? 6 : 15;
  let value = 0;
  let point = -1;
  if (end - from < 1 || end - from > most + 1) return false;
  for (let i = from; i < end; i++) {
    const digit = (bytes[i] as number) - 0x30;
    if (digit >= 0 && digit <= 9) value = value * 10 + digit;
    else if (digit === -2 && point < 0 && i > from) point = i;
    else return false;
  }
  const leading = bytes[from] === 0x30 && (point < 0 ? end : point) - from > 1;
  if (leading || value === 0 || (point >= 0 ? bytes[end - 1] === 0x30 || point === end - 1 : end - from > most)) return false;
  const size = point < 0 ? value : value / (powers[end - point - 1] as number);
  if (size < 1e-4 || size >= (form === 'float4' ? 1e6 : 1e15)) return false;
  parsed.value = negative ? -size : size;
  if (form === 'float4') parsed.value = Math.fround(parsed.value);
  return true;
}
