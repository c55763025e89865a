import type { Lsn } from '../event/lsn.ts';
import type { Slice } from '../runtime/slice.ts';
import type { EndRecord, Part, Place } from './control-records.ts';

/**
 * ENDs as JSON, written and read by hand: there is one a transaction, and JSON's general way costs more than all else that is done
 * for a transaction of ten rows. What is written is what `JSON.stringify` would write; what is read is only that, in that order:
 * for anything else the general way is there.
 */

/** The bytes of an END of these parts that says no more than most, until the next one is written; null for one that says more. */
export function endBytes(end: Omit<EndRecord, 'parts'>, parts: readonly Part[]): Slice | null {
  const { startId, epoch, commitLsn, endLsn, commitTime, previous, snapshot, shapes, input } = end;
  if (snapshot !== null || shapes !== undefined || input !== undefined) return null;
  writer.reset().word(words.type).text(startId).word(words.epoch).integer(epoch).word(words.commitLsn).lsn(commitLsn).word(words.endLsn).lsn(endLsn);
  writer.word(words.commitTime).large(commitTime).word(words.previous).integer(previous.epoch).word(words.commitLsn).lsn(previous.commitLsn).word(words.parts);
  for (let i = 0; i < parts.length; i++) {
    const { topic, partition, count, first, last, bytes } = parts[i] as Part;
    writer.word(i === 0 ? words.part : words.nextPart).text(topic).word(words.partition).integer(partition).word(words.count).integer(count);
    writer.word(words.first).integer(first).word(words.last).integer(last).word(words.bytes).integer(bytes).word(words.partEnd);
  }
  return writer.word(words.end).written();
}

/** The END that these bytes are, if it is one that `endBytes` has written; else null. */
export function readEnd({ bytes, start, end }: Slice): EndRecord | null {
  scanner.reset(bytes, start, end);
  const startId = scanner.after(words.type).text();
  const epoch = scanner.after(words.epoch).integer();
  const commitLsn = scanner.after(words.commitLsn).lsn();
  const endLsn = scanner.after(words.endLsn).lsn();
  const commitTime = BigInt(scanner.after(words.commitTime).integer());
  const previous: Place = { epoch: scanner.after(words.previous).integer(), commitLsn: scanner.after(words.commitLsn).lsn() };
  scanner.after(words.parts);
  const parts: Part[] = [];
  while (scanner.good && !scanner.isAt(words.end)) {
    scanner.after(parts.length === 0 ? words.part : words.nextPart);
    const topic = scanner.text();
    const partition = scanner.after(words.partition).integer();
    const count = scanner.after(words.count).integer();
    const first = scanner.after(words.first).integer();
    const last = scanner.after(words.last).integer();
    parts.push({ topic, partition, count, first, last, bytes: scanner.after(words.bytes).integer() });
    scanner.after(words.partEnd);
  }
  return scanner.after(words.end).isOver ? { type: 'end', startId, epoch, commitLsn, endLsn, commitTime, previous, snapshot: null, parts } : null;
}

const word = (text: string): Uint8Array => Buffer.from(text);
const words = {
  type: word('{"type":"end","startId":"'), epoch: word('","epoch":'), commitLsn: word(',"commitLsn":"'), endLsn: word('","endLsn":"'),
  commitTime: word('","commitTime":"'), previous: word('","previous":{"epoch":'), parts: word('"},"snapshot":null,"parts":['),
  part: word('{"topic":"'), nextPart: word(',{"topic":"'), partition: word('","partition":'), count: word(',"count":'), first: word(',"first":'),
  last: word(',"last":'), bytes: word(',"bytes":'), partEnd: word('}'), end: word(']}'),
};

/** Writes into memory that is used again for every END. */
class Writer {
  #bytes = Buffer.allocUnsafeSlow(1024);
  #length = 0;
  readonly #written: Slice = { bytes: this.#bytes, start: 0, end: 0 };
  readonly #lsn = new DataView(new ArrayBuffer(8));
  /** Topics are few, and name themselves again and again: within their quotation marks. */
  readonly #texts = new Map<string, Uint8Array>();

  reset(): this {
    this.#length = 0;
    return this;
  }

  word(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    const to = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < bytes.length; i++) to[at++] = bytes[i] as number;
    this.#length = at;
    return this;
  }

  text(text: string): this {
    let bytes = this.#texts.get(text);
    if (bytes === undefined) {
      bytes = word(JSON.stringify(text).slice(1, -1));
      if (this.#texts.size < 4096) this.#texts.set(text, bytes);
    }
    return this.word(bytes);
  }

  integer(value: number): this {
    this.#reserve(20);
    const to = this.#bytes;
    if (value < 0) {
      to[this.#length++] = MINUS;
      value = -value;
    }
    let digits = 1;
    for (let limit = 10; value >= limit; limit *= 10) digits++;
    this.#length += digits;
    for (let at = this.#length - 1; digits > 0; digits--) {
      const rest = Math.floor(value / 10);
      to[at--] = 0x30 + (value - rest * 10);
      value = rest;
    }
    return this;
  }

  large(value: bigint): this {
    const number = Number(value);
    return Number.isSafeInteger(number) ? this.integer(number) : this.word(word(String(value)));
  }

  lsn(value: Lsn): this {
    this.#reserve(17);
    this.#lsn.setBigUint64(0, value);
    this.#hex(this.#lsn.getUint32(0));
    this.#bytes[this.#length++] = SLASH;
    this.#hex(this.#lsn.getUint32(4));
    return this;
  }

  written(): Slice {
    this.#written.bytes = this.#bytes;
    this.#written.end = this.#length;
    return this.#written;
  }

  #hex(value: number): void {
    let shift = 28;
    while (shift > 0 && value >>> shift === 0) shift -= 4;
    for (; shift >= 0; shift -= 4) {
      const digit = (value >>> shift) & 15;
      this.#bytes[this.#length++] = digit < 10 ? 0x30 + digit : 0x37 + digit;
    }
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#length + more, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

const writer = new Writer();

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SLASH = 0x2f;
const MINUS = 0x2d;

/** Walks over bytes as long as they are what was expected; afterwards `good` says whether they were. */
class Scanner {
  good = false;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  /** Texts that were met before, by their bytes: nearly every one was. */
  readonly #known: { readonly bytes: Uint8Array; readonly text: string }[] = [];
  /** Where the next text is looked for first: they come in the same turn in each END. */
  #next = 0;

  reset(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.good = true;
  }

  get isOver(): boolean {
    return this.good && this.#at === this.#end;
  }

  isAt(expected: Uint8Array): boolean {
    const bytes = this.#bytes;
    const at = this.#at;
    if (at + expected.length > this.#end) return false;
    for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
    return true;
  }

  after(expected: Uint8Array): this {
    if (this.good && this.isAt(expected)) this.#at += expected.length;
    else this.good = false;
    return this;
  }

  integer(): number {
    const from = this.#at;
    let value = 0;
    const negative = this.#bytes[this.#at] === MINUS;
    if (negative) this.#at++;
    for (; this.#at < this.#end; this.#at++) {
      const digit = (this.#bytes[this.#at] as number) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (this.#at === from || value > Number.MAX_SAFE_INTEGER) this.good = false;
    return this.good ? (negative ? -value : value) : 0;
  }

  lsn(): Lsn {
    const high = this.#hex();
    if (this.#bytes[this.#at] === SLASH) this.#at++;
    else this.good = false;
    return (BigInt(high) << 32n) | BigInt(this.#hex());
  }

  /** Up to the next quotation mark. */
  text(): string {
    if (!this.good) return '';
    const known = this.#known[this.#next];
    if (known !== undefined && this.isAt(known.bytes) && this.#bytes[this.#at + known.bytes.length] === QUOTE) {
      this.#next = (this.#next + 1) % this.#known.length;
      this.#at += known.bytes.length;
      return known.text;
    }
    return this.#newText();
  }

  #newText(): string {
    const from = this.#at;
    for (; this.#at < this.#end && this.#bytes[this.#at] !== QUOTE; this.#at++) if (this.#bytes[this.#at] === BACKSLASH) this.good = false;
    const bytes = this.#bytes.slice(from, this.#at);
    const found = this.#known.findIndex((known) => Buffer.compare(known.bytes, bytes) === 0);
    if (found >= 0) {
      this.#next = (found + 1) % this.#known.length;
      return (this.#known[found] as { readonly text: string }).text;
    }
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
    if (this.#known.length < 64) this.#known.push({ bytes, text });
    this.#next = 0;
    return text;
  }

  #hex(): number {
    const from = this.#at;
    let value = 0;
    for (; this.#at < this.#end && this.#at - from < 8; this.#at++) {
      const byte = this.#bytes[this.#at] as number;
      const digit = byte < 0x3a ? byte - 0x30 : byte < 0x47 ? byte - 0x37 : -1;
      if (digit < 0 || digit > 15) break;
      value = value * 16 + digit;
    }
    if (this.#at === from) this.good = false;
    return value;
  }
}

const scanner = new Scanner();
