import type { ByteWriter } from './byte-writer.ts';

/** `bytea` between Postgres's hex text and base64, from bytes to bytes: a text of 1 GB does not fit a string. */

const alphabet = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const sextets = new Int8Array(256).fill(-1);
alphabet.forEach((byte, value) => (sextets[byte] = value));
const hexDigits = Buffer.from('0123456789abcdef');
const nibbles = new Int8Array(256).fill(-1);
hexDigits.forEach((byte, value) => (nibbles[byte] = value));
const PAD = 0x3d;

/** Writes `\x…` as base64; false, with nothing written, when the text is not of that form in small letters. */
export function hexToBase64(writer: ByteWriter, bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < 2 || (end - start) % 2 !== 0 || bytes[start] !== 0x5c || bytes[start + 1] !== 0x78) return false;
  for (let i = start + 2; i < end; i++) if ((nibbles[bytes[i] as number] as number) < 0) return false;
  const octet = (at: number): number =>
    at < end ? ((nibbles[bytes[at] as number] as number) << 4) | (nibbles[bytes[at + 1] as number] as number) : 0;
  writer.ensure(Math.ceil((end - start - 2) / 6) * 4);
  for (let i = start + 2; i < end; i += 6) {
    const group = (octet(i) << 16) | (octet(i + 2) << 8) | octet(i + 4);
    writer.byte(alphabet[group >> 18] as number);
    writer.byte(alphabet[(group >> 12) & 63] as number);
    writer.byte(i + 2 < end ? (alphabet[(group >> 6) & 63] as number) : PAD);
    writer.byte(i + 4 < end ? (alphabet[group & 63] as number) : PAD);
  }
  return true;
}

/** The inverse of `hexToBase64`. Throws a `SyntaxError` for anything that it does not write. */
export function base64ToHex(writer: ByteWriter, bytes: Uint8Array, start: number, end: number): void {
  if ((end - start) % 4 !== 0) throw new SyntaxError('base64 that is cut');
  writer.ascii('\\x');
  writer.ensure(((end - start) / 4) * 6);
  for (let i = start; i < end; i += 4) {
    const padding = i + 4 < end || bytes[i + 3] !== PAD ? 0 : bytes[i + 2] === PAD ? 2 : 1;
    let group = 0;
    for (let j = 0; j < 4; j++) {
      const sextet = j >= 4 - padding ? 0 : (sextets[bytes[i + j] as number] as number);
      if (sextet < 0) throw new SyntaxError('a byte that base64 does not have');
      group = (group << 6) | sextet;
    }
    if ((group & ((1 << (padding * 8)) - 1)) !== 0) throw new SyntaxError('base64 with bits behind its end');
    for (let j = 0; j < 3 - padding; j++) {
      const octet = (group >> (16 - j * 8)) & 255;
      writer.byte(hexDigits[octet >> 4] as number);
      writer.byte(hexDigits[octet & 15] as number);
    }
  }
}
