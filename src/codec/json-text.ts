import type { ByteWriter } from './byte-writer.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** The bytes that stand for each byte that a JSON string cannot hold as it is. */
const escapes = Array.from({ length: 0x5d }, (_, byte) => new TextEncoder().encode(JSON.stringify(String.fromCharCode(byte)).slice(1, -1)));

const encoder = new TextEncoder();

export const literals = { null: encoder.encode('null'), true: encoder.encode('true'), false: encoder.encode('false') } as const;

/** Over the bytes of the last text: those of many lie in one buffer. */
let from: Uint8Array = new Uint8Array(0);
let view: DataView = new DataView(from.buffer);

/**
 * Writes UTF-8 text as a JSON string; everything but the quote, the backslash and control characters stays as it is. Four bytes at a
 * time, since nearly all need no care: a word has a byte below n, or a zero byte, exactly when a borrow reaches the top of one ("Bit
 * Twiddling Hacks", haszero, hasless). The writer hears of bytes that are not ASCII: only they can be wrong.
 */
export function writeJsonString(writer: ByteWriter, bytes: Uint8Array, start: number, end: number): void {
  if (bytes !== from) {
    from = bytes;
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  writer.ensure(end - start + 2);
  writer.bytes[writer.length++] = QUOTE;
  let i = plainWords(writer, view, start, end);
  while (i < end) {
    const stop = Math.min(end, i + 4);
    for (; i < stop; i++) writeCharacter(writer, bytes[i] as number, end - i);
    i = plainWords(writer, view, i, end);
  }
  writer.bytes[writer.length++] = QUOTE;
}

/** Copies words, for which there is room, up to one with a byte that is escaped, or to the last three bytes; returns where it stopped. */
function plainWords(writer: ByteWriter, text: DataView, start: number, end: number): number {
  const to = writer.view;
  let o = writer.length;
  let seen = 0;
  let i = start;
  for (; i + 4 <= end; i += 4, o += 4) {
    const word = text.getInt32(i);
    const quotes = word ^ 0x22222222;
    const slashes = word ^ 0x5c5c5c5c;
    if ((((word - 0x20202020) & ~word) | ((quotes - 0x01010101) & ~quotes) | ((slashes - 0x01010101) & ~slashes)) & 0x80808080) break;
    to.setInt32(o, word);
    seen |= word;
  }
  writer.length = o;
  writer.notAscii |= seen & 0x80808080;
  return i;
}

/** `left`: this byte and those behind it, for which room stays. */
function writeCharacter(writer: ByteWriter, byte: number, left: number): void {
  if (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH) {
    writer.bytes[writer.length++] = byte;
    writer.notAscii |= byte & 0x80;
    return;
  }
  const escape = escapes[byte] as Uint8Array;
  writer.ensure(escape.length + left + 1);
  writer.append(escape);
}

/** Writes the inside of a JSON string as the text that it stands for. Throws a `SyntaxError`. */
export function unescapeJson(writer: ByteWriter, bytes: Uint8Array, start: number, end: number): void {
  let run = start;
  for (let i = start; i < end; i++) {
    if (bytes[i] !== BACKSLASH) continue;
    writer.copy(bytes, run, i);
    const letter = bytes[++i];
    if (letter === 0x75) i = unescapeUnicode(writer, bytes, i + 1, end) - 1;
    else {
      const byte = plainEscapes.get(letter as number);
      if (byte === undefined || i >= end) throw new SyntaxError('an escape that JSON does not know');
      writer.byte(byte);
    }
    run = i + 1;
  }
  writer.copy(bytes, run, end);
}

const plainEscapes = new Map(['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t'].map((pair) => [pair.charCodeAt(0), pair.charCodeAt(1)]));

/** Reads the four digits behind `\u`, and the second half of a surrogate pair; returns the offset behind them. */
function unescapeUnicode(writer: ByteWriter, bytes: Uint8Array, at: number, end: number): number {
  const unit = hex4(bytes, at, end);
  if (unit < 0xd800 || unit > 0xdfff) {
    writer.utf8(String.fromCharCode(unit));
    return at + 4;
  }
  const low = bytes[at + 4] === BACKSLASH && bytes[at + 5] === 0x75 ? hex4(bytes, at + 6, end) : 0;
  if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) throw new SyntaxError('half of a surrogate pair');
  writer.utf8(String.fromCharCode(unit, low));
  return at + 10;
}

function hex4(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let i = at; i < at + 4; i++) {
    const digit = i < end ? hexDigit(bytes[i] as number) : -1;
    if (digit < 0) throw new SyntaxError('an escape without its four digits');
    value = value * 16 + digit;
  }
  return value;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** Whether the bytes are a number by JSON's grammar, so that they may stand in the text as they are. */
export function isJsonNumber(bytes: Uint8Array, start: number, end: number): boolean {
  return numberEnd(bytes, start, end) === end;
}

/** Offset behind the number that begins at `at`; -1 when there is none. */
export function numberEnd(bytes: Uint8Array, at: number, end: number): number {
  let i = bytes[at] === 0x2d && at < end ? at + 1 : at;
  const whole = digitsEnd(bytes, i, end);
  if (whole === i || (bytes[i] === 0x30 && whole > i + 1)) return -1;
  i = whole;
  if (i < end && bytes[i] === 0x2e) {
    const fraction = digitsEnd(bytes, i + 1, end);
    if (fraction === i + 1) return -1;
    i = fraction;
  }
  if (i < end && ((bytes[i] as number) | 0x20) === 0x65) {
    const sign = bytes[i + 1] === 0x2b || bytes[i + 1] === 0x2d ? i + 2 : i + 1;
    const exponent = digitsEnd(bytes, sign, end);
    if (exponent <= sign) return -1;
    i = exponent;
  }
  return i;
}

function digitsEnd(bytes: Uint8Array, at: number, end: number): number {
  let i = at;
  while (i < end && (bytes[i] as number) >= 0x30 && (bytes[i] as number) <= 0x39) i++;
  return i;
}
